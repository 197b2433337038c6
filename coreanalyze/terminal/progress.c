/* progress.c: see progress.h. */
#include "progress.h"

#include <inttypes.h>
#include <string.h>

#include "fit.h"

static _Thread_local const struct ca_output *listener;

const struct ca_output *ca_progress_listen(const struct ca_output *output)
{
    const struct ca_output *before = listener;
    listener = output && output->progress ? output : NULL;
    return before;
}

void ca_progress_report(const struct ca_progress *progress)
{
    if (listener) {
        listener->progress(listener->context, progress);
    }
}

void ca_progress_count(const char *phase, uint64_t done, uint64_t total)
{
    if (listener && done % 1024 == 0) {
        ca_progress_report(&(struct ca_progress){.phase = phase, .done = done, .total = total});
    }
}

static void add_number(struct ca_text *text, uint64_t number, bool bytes)
{
    char buffer[CA_SIZE_TEXT];
    if (bytes) {
        ca_format_size(buffer, (double)number, false);
        ca_text_add(text, buffer);
    } else {
        ca_text_printf(text, "%" PRIu64, number);
    }
}

void ca_progress_text(const struct ca_progress *progress, int columns, char *buffer, size_t size)
{
    struct ca_look look = {.columns = columns > 0 ? (size_t)columns : 0};
    struct ca_text text = {.look = &look};
    ca_text_add(&text, progress->phase);
    if (progress->subject) {
        ca_text_add(&text, " ");
        ca_text_add_name(&text, progress->subject);
    }
    if (progress->done || progress->total) {
        ca_text_add(&text, ": ");
        add_number(&text, progress->done, progress->bytes);
    }
    if (progress->total) {
        ca_text_add(&text, " of ");
        add_number(&text, progress->total, progress->bytes);
        unsigned __int128 part = (unsigned __int128)progress->done * 100 / progress->total;
        ca_text_printf(&text, " (%u%%)", part < 100 ? (unsigned)part : 100);
    }
    ca_text_fit(&text);
    size_t used = text.failed ? 0 : text.size;
    if (look.columns && used > look.columns && ca_text_columns(text.bytes, used) > look.columns) {
        /* Nothing is better than a line that wraps: it could not be taken back. */
        used = strlen(progress->phase) <= look.columns ? strlen(progress->phase) : 0;
    }
    used = used < size ? used : size - 1;
    memcpy(buffer, used ? text.bytes : "", used);
    buffer[used] = '\0';
    ca_text_deinit(&text);
}
