/* statements.c: runs SQL statements by libsqlite3 and stops at checkpoint() after each, with SQLite's own account of its memory in
 * `used` (bytes, without the 8 that it puts before each block) and `outstanding` (blocks).
 *
 * Linked with -l:libsqlite3.so.0, which needs no header installed; the declarations are of SQLite's public interface. */
#include <stdio.h>
#include <stdlib.h>

typedef struct sqlite3 sqlite3;
int sqlite3_open(const char *name, sqlite3 **ret_database);
int sqlite3_exec(sqlite3 *database, const char *sql, void *callback, void *context, char **ret_message);
int sqlite3_status64(int operation, long long *ret_current, long long *ret_highest, int reset);
int sqlite3_close(sqlite3 *database);

enum { STATUS_MEMORY_USED = 0, STATUS_MALLOC_COUNT = 9 };

long long used, outstanding;

__attribute__((noinline)) void checkpoint(void)
{
    __asm__ volatile("" : : : "memory");
}

static void look(void)
{
    long long highest;
    sqlite3_status64(STATUS_MEMORY_USED, &used, &highest, 0);
    sqlite3_status64(STATUS_MALLOC_COUNT, &outstanding, &highest, 0);
    checkpoint();
}

int main(void)
{
    static const char *const statements[] = {
        "create table t(a, b)",
        "with recursive c(x) as (select 1 union all select x + 1 from c where x < 5000)"
        " insert into t select x, hex(randomblob(40)) from c",
        "create index i on t(b)",
        "delete from t where a % 2",
        "drop table t",
    };
    sqlite3 *database;
    if (sqlite3_open(":memory:", &database) != 0) {
        return 1;
    }
    look();
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++) {
        if (sqlite3_exec(database, statements[i], NULL, NULL, NULL) != 0) {
            return 1;
        }
        look();
    }
    return sqlite3_close(database);
}
