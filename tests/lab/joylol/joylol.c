/* Stands for the user's own language in the lab: `joylol SOURCE -o OUT` copies, and says so. */
#include <stdio.h>

int main(int count, char **words) {
  FILE *in, *out;
  int byte;
  if (count != 4 || !(in = fopen(words[1], "r")) || !(out = fopen(words[3], "w"))) {
    perror("joylol");
    return 1;
  }
  fputs("by joylol: ", out);
  while ((byte = getc(in)) != EOF) putc(byte, out);
  return fclose(out) ? 1 : 0;
}
