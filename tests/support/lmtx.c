/* Stands for LuaMetaTeX, the one program of the standalone ConTeXt (LMTX), called `context` or `mtxrun` by
   links or copies. Like it, it goes by its argv[0], looked up along PATH if it has no slash and links not
   followed: beside that must lie NAME.lua, and its trees are found from there. It "typesets" by copying. */
#define _GNU_SOURCE
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char own[PATH_MAX];

static void fail(const char *what, const char *name) {
  fprintf(stdout, "lmtx: %s: %s\n", what, name);
  exit(1);
}

static void find_own(const char *called) {
  if (strchr(called, '/')) {
    snprintf(own, sizeof own, "%s", called);
    return;
  }
  char *path = strdup(getenv("PATH") ? getenv("PATH") : "");
  for (char *dir = strtok(path, ":"); dir; dir = strtok(NULL, ":")) {
    snprintf(own, sizeof own, "%s/%s", dir, called);
    if (!access(own, X_OK)) return;
  }
  fail("not found along PATH", called);
}

static FILE *must(const char *path, const char *how) {
  FILE *file = fopen(path, how);
  if (!file) fail("cannot open", path);
  return file;
}

static void copy(FILE *from, FILE *to) {
  for (int byte; (byte = getc(from)) != EOF;) putc(byte, to);
  fclose(from);
}

int main(int count, char **words) {
  char path[PATH_MAX * 2];
  const char *cache = getenv("TEXMFCACHE"), *document = NULL;
  for (int word = 1; word < count; word++)
    if (strstr(words[word], ".tex")) document = words[word];
  find_own(words[0]);
  char *name = strrchr(own, '/') + 1;
  if (!strcmp(name, "luametatex")) return 0;
  snprintf(path, sizeof path, "%s.lua", own);
  fclose(must(path, "r"));
  /* From here on `own` is the directory. */
  int makes = !strcmp(name, "mtxrun");
  name[-1] = 0;
  snprintf(path, sizeof path, "%s/../../texmf-context/macros", own);
  FILE *macros = must(path, "r");
  if (count == 2 && !strcmp(words[1], "--version")) return puts("mtx-context     | current version: 2026.01.01") == EOF;
  if (!cache) fail("no valid writable cache path", "TEXMFCACHE");
  snprintf(path, sizeof path, "%s/names", cache);
  if (makes) return fclose(must(path, "w")) != 0;
  fclose(must(path, "r"));
  if (!document) return 0;
  FILE *in = must(document, "r");
  snprintf(path, sizeof path, "%s", document);
  strcpy(strstr(path, ".tex"), ".pdf");
  FILE *out = must(path, "w");
  copy(macros, out);
  copy(in, out);
  return fclose(out) != 0;
}
