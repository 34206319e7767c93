/* Stands for VeriFast in the lab, whose guests can fetch no archive: verifies a file that does not
   hold the word "wrong". Like VeriFast it wants its prelude beside itself. */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int count, char **words) {
  char prelude[PATH_MAX + 16], line[1000];
  ssize_t length = readlink("/proc/self/exe", prelude, PATH_MAX);
  FILE *in;
  if (count < 2 || length < 0) return puts("VeriFast of the lab"), 2;
  prelude[length] = 0;
  strcpy(strrchr(prelude, '/') + 1, "prelude.h");
  if (access(prelude, R_OK) || !(in = fopen(words[count - 1], "r"))) return perror(prelude), 2;
  while (fgets(line, sizeof line, in))
    if (strstr(line, "wrong")) return printf("%s: it is wrong\n", words[count - 1]), 1;
  return puts("0 errors found"), 0;
}
