/* Tries to leave the view that a job has. Each line but `tried N` is something it could do. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

extern char **environ;

int main(void) {
  static const char *const files[] = {"/home/dev/.ssh/id_ed25519", "/home/dev/.ssh/authorized_keys",
      "/home/dev/secret", "/tmp/secret", "/etc/shadow", "/etc/sudoers", "/home/dev/.config/cpods/pod.toml",
      "/home/dev/.cache/cpods", "/run/user/1000", "/proc/1/root/home/dev/.ssh/authorized_keys", "/root/.ssh",
      "/var/log/journal", "/dev/fuse", "/dev/kmsg"};
  static const char *const places[] = {"/usr/x", "/etc/x", "/home/dev/x", "/home/dev/.ssh/x", "/run/x", "/x"};
  static const char *const sockets[] = {"/run/user/1000/cpods/workd.sock", "/run/user/1000/cpods/hub.sock",
      "/run/user/1000/bus", "/run/dbus/system_bus_socket", "/run/systemd/private"};
  static const char *const addresses[] = {"198.51.100.1", "198.51.100.5", "198.51.100.2"};
  int tries = 0;
  for (size_t i = 0; i < sizeof files / sizeof *files; i++, tries++)
    if (open(files[i], O_RDONLY) >= 0) printf("could open %s\n", files[i]);
  for (size_t i = 0; i < sizeof places / sizeof *places; i++, tries++)
    if (open(places[i], O_WRONLY | O_CREAT, 0600) >= 0) {
      /* Below the top of its own root, which is a tmpfs of its own, it may. */
      if (strcmp(places[i], "/x")) printf("could write %s\n", places[i]);
    }
  for (size_t i = 0; i < sizeof sockets / sizeof *sockets; i++, tries++) {
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    strcpy(at.sun_path, sockets[i]);
    if (!connect(socket(AF_UNIX, SOCK_STREAM, 0), (struct sockaddr *)&at, sizeof at))
      printf("could connect to %s\n", sockets[i]);
  }
  for (size_t i = 0; i < sizeof addresses / sizeof *addresses; i++, tries++) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(22)};
    inet_pton(AF_INET, addresses[i], &at.sin_addr);
    if (!connect(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&at, sizeof at))
      printf("could connect to %s\n", addresses[i]);
  }
  for (pid_t pid = 3; pid < 100000; pid++)
    if (pid != getpid() && pid != getppid() && !kill(pid, 0)) printf("sees process %d\n", pid);
  tries++;
  if (!mount("none", "/usr", "tmpfs", 0, 0)) puts("could mount");
  tries++;
  for (char **e = environ; *e; e++)
    if (strstr(*e, "SECRET")) printf("sees %s\n", *e);
  tries++;
  printf("tried %d\n", tries);
  return 0;
}
