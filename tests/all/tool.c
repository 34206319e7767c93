/* A tool of many tricks for the tests. What it does stands in its first argument. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char text[1 << 16];

static void fail(const char *what) {
    perror(what);
    exit(98);
}

static size_t slurp(const char *path, char *into, size_t most) {
    FILE *file = fopen(path, "r");
    if (!file) return 0;
    size_t length = fread(into, 1, most, file);
    fclose(file);
    return length;
}

static void spit(const char *path, const char *from, size_t length) {
    FILE *file = fopen(path, "w");
    if (!file || fwrite(from, 1, length, file) != length || fclose(file)) fail(path);
}

static volatile sig_atomic_t released;

static void release(int signal) {
    released = signal;
}

/* Waits for SIGUSR1. From the moment at which a handler is seen in /proc none is lost. Ends by
   SIGALRM long after any test has given up. */
static void wait_for_release(void) {
    sigset_t set, old;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, &old);
    sigdelset(&old, SIGUSR1);
    signal(SIGUSR1, release);
    alarm(150);
    while (!released) sigsuspend(&old);
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    if (!strcmp(what, "gate")) { /* gate IN OUT: copies; first waits if IN begins with "slow" */
        size_t length = slurp(argv[2], text, sizeof text);
        FILE *out = fopen(argv[3], "w");
        if (!out) fail(argv[3]);
        fwrite(text, 1, length / 2, out);
        fflush(out);
        if (!strncmp(text, "slow", 4)) wait_for_release();
        fwrite(text + length / 2, 1, length - length / 2, out);
        return fclose(out) ? 98 : 0;
    }
    if (!strcmp(what, "filter")) { /* filter IN OUT: the first line, written only if changed */
        static char old[1 << 16];
        size_t length = slurp(argv[2], text, sizeof text);
        char *line = memchr(text, '\n', length);
        if (line) length = (size_t)(line - text) + 1;
        if (slurp(argv[3], old, sizeof old) != length || memcmp(old, text, length))
            spit(argv[3], text, length);
        return 0;
    }
    if (!strcmp(what, "exit")) { /* exit CODE: says so on both streams */
        printf("to stdout\n");
        fprintf(stderr, "to stderr\n");
        return atoi(argv[2]);
    }
    if (!strcmp(what, "die")) { /* die SIGNAL */
        raise(atoi(argv[2]));
        return 97;
    }
    if (!strcmp(what, "leave")) { /* leave OUT: a child outlives us and holds our streams */
        if (fork() == 0) {
            wait_for_release();
            return 0;
        }
        spit(argv[2], "left\n", 5);
        return 0;
    }
    if (!strcmp(what, "big")) { /* big OUT MEGABYTES: pseudo-random content */
        FILE *file = fopen(argv[2], "w");
        unsigned state = 1;
        if (!file) fail(argv[2]);
        for (long mega = atol(argv[3]); mega > 0; mega--) {
            static unsigned block[1 << 18];
            for (size_t i = 0; i < sizeof block / sizeof *block; i++)
                block[i] = state = state * 1664525u + 1013904223u;
            if (fwrite(block, 1, sizeof block, file) != sizeof block) fail(argv[2]);
        }
        return fclose(file) ? 98 : 0;
    }
    if (!strcmp(what, "tree")) { /* tree: makes and removes things in the working directory */
        umask(0);
        if (mkdir("made", 0750) || mkdir("made/deep", 0700)) fail("mkdir");
        spit("made/deep/file", "deep\n", 5);
        if (chmod("made/deep/file", 0640)) fail("chmod");
        spit("made/run", "#!/bin/sh\n", 10);
        if (chmod("made/run", 04755)) fail("chmod");
        if (symlink("deep/file", "made/link")) fail("symlink");
        if (unlink("old/file") || rename("old/moved", "made/moved")) fail("unlink");
        if (unlink("gone/a") || unlink("gone/b") || rmdir("gone")) fail("rmdir");
        return 0;
    }
    if (!strcmp(what, "fill")) { /* fill OUT LETTER: a mebibyte of one letter, slowly */
        FILE *file = fopen(argv[2], "w");
        if (!file) fail(argv[2]);
        for (long i = 0; i < 1 << 20; i++) fputc(argv[3][0], file);
        return fclose(file) ? 98 : 0;
    }
    if (!strcmp(what, "hold")) { /* hold FILE...: opens all to change them, waits, and changes those
                                    whose name begins with "mapped", through a mapping */
        int files[16];
        for (int i = 2; i < argc; i++)
            if ((files[i - 2] = open(argv[i], O_RDWR)) < 0) fail(argv[i]);
        wait_for_release();
        for (int i = 2; i < argc; i++) {
            if (strncmp(argv[i], "mapped", 6)) continue;
            char *at = mmap(0, 1, PROT_READ | PROT_WRITE, MAP_SHARED, files[i - 2], 0);
            if (at == MAP_FAILED) fail(argv[i]);
            *at = 'J';
        }
        return 0;
    }
    if (!strcmp(what, "scribble")) { /* scribble FILE: stores into it through a mapping, all the time */
        int file = open(argv[2], O_RDWR);
        volatile unsigned *at = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        if (at == MAP_FAILED) fail(argv[2]);
        alarm(150);
        for (;;) {
            ++*at;
            usleep(100);
        }
    }
    fprintf(stderr, "unknown trick `%s`\n", what);
    return 96;
}
