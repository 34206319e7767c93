/* `sleeper -m MS -o OUT IN` does as if it were at work for MS milliseconds, and then copies a file. It
   says where it ran, and from when to when: guests share one clock. Linked statically, so that it is
   the same tool on machines of other releases. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static double now(void) {
  struct timespec at;
  clock_gettime(CLOCK_REALTIME, &at);
  return at.tv_sec + at.tv_nsec / 1e9;
}

int main(int count, char **words) {
  FILE *in, *out;
  char host[65] = "";
  double from = now();
  int byte;
  if (count != 6 || !(in = fopen(words[5], "r"))) return perror("sleeper"), 1;
  usleep(atoi(words[2]) * 1000);
  if (!(out = fopen(words[4], "w"))) return perror("sleeper"), 1;
  while ((byte = getc(in)) != EOF) putc(byte, out);
  if (fclose(out)) return perror("sleeper"), 1;
  gethostname(host, 64);
  return printf("ran %s %.3f %.3f\n", host, from, now()) < 0;
}
