/* jobs.c: a queue of jobs that crashes; docs/it-crashed.md walks through it.
 *
 *     cc -g -O2 -o jobs jobs.c && tm-run -o freed=10000 ./jobs */
#include <stdio.h>
#include <stdlib.h>

struct owner {
    const char *name;
    int done;
};

struct job {
    struct owner *owner;
    struct job *next;
    char title[24];
};

static struct owner nightly = {"nightly", 0};
static struct job *queue;

static struct job *job_add(const char *title)
{
    struct job *job = malloc(sizeof *job);
    snprintf(job->title, sizeof job->title, "%.23s", title);
    job->owner = &nightly;
    job->next = queue;
    queue = job;
    return job;
}

__attribute__((noinline)) static void job_cancel(struct job *job)
{
    if (queue == job) {
        queue = job->next;
    }
    free(job); /* wherever it stands in the queue */
}

__attribute__((noinline)) static void queue_run(void)
{
    for (struct job *job = queue; job; job = job->next) {
        job->owner->done++;
    }
}

int main(void)
{
    job_add("backup");
    struct job *report = job_add("report");
    job_add("cleanup");
    job_cancel(report);
    queue_run();
    printf("%s: %d jobs done\n", nightly.name, nightly.done);
    return 0;
}
