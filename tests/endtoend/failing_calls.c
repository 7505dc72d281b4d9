/* Fails one system call of a process that it is preloaded into (LD_PRELOAD), as a disk might.
 *
 * FAIL_CALL    fdatasync or pwritev
 * FAIL_NAME    what the path of the file has to contain
 * FAIL_ARMED   a file: calls count from the moment when it exists
 * FAIL_AT      which call fails, from 1
 * FAIL_ERRNO   with which error; 0 for a write that takes only a half
 * FAIL_MS      how long the call takes to fail
 *
 * Only that one fails; what comes after it succeeds, as it did in systems that lost data so.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_int calls;

static int number(const char *name) {
    const char *value = getenv(name);
    return value ? atoi(value) : 0;
}

static int fails(const char *call, int descriptor) {
    const char *wanted = getenv("FAIL_CALL"), *armed = getenv("FAIL_ARMED");
    const char *part = getenv("FAIL_NAME");
    char link[64], path[4096];
    ssize_t length;
    if (!wanted || !armed || !part || strcmp(wanted, call) || access(armed, F_OK))
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    if (!strstr(path, part) || atomic_fetch_add(&calls, 1) + 1 != number("FAIL_AT"))
        return 0;
    usleep(1000 * number("FAIL_MS"));
    return 1;
}

int fdatasync(int descriptor) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    if (!fails("fdatasync", descriptor))
        return real(descriptor);
    errno = number("FAIL_ERRNO");
    return -1;
}

/* Python's os.pwritev calls pwritev2, under the name that it has for large files. */
ssize_t pwritev64v2(int descriptor, const struct iovec *parts, int count, off_t offset, int flags) {
    ssize_t (*real)(int, const struct iovec *, int, off_t, int) =
        (ssize_t (*)(int, const struct iovec *, int, off_t, int))dlsym(RTLD_NEXT, "pwritev64v2");
    if (!fails("pwritev", descriptor))
        return real(descriptor, parts, count, offset, flags);
    if (number("FAIL_ERRNO") == 0) {
        struct iovec half = {parts[0].iov_base, parts[0].iov_len / 2};
        return real(descriptor, &half, 1, offset, flags);
    }
    errno = number("FAIL_ERRNO");
    return -1;
}

ssize_t pwritev2(int descriptor, const struct iovec *parts, int count, off_t offset, int flags) {
    return pwritev64v2(descriptor, parts, count, offset, flags);
}
