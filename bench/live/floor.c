// What the kernel takes for a fan-out, and nothing else: one process writes a frame to each of N loopback sockets, one write each,
// another reads them all and says when it has. Nobody who writes once per delivery does more per core.
//
//   floor N SIZE SECONDS        prints   FLOOR writes-per-second-of-processor-time
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef unsigned long long u64;
static void die(const char *what) { perror(what); exit(2); }
static u64 now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1000000000ULL + t.tv_nsec; }
static double used(void) {
  struct rusage r;
  getrusage(RUSAGE_SELF, &r);
  return r.ru_utime.tv_sec + r.ru_stime.tv_sec + (r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

static void reader(struct sockaddr_in *to, int n, int size, int done) {
  int e = epoll_create1(0);
  for (int i = 0; i < n; i++) {
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)to, sizeof *to)) die("connect");
    struct epoll_event v = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(e, EPOLL_CTL_ADD, fd, &v)) die("epoll_ctl");
  }
  static char buffer[65536];
  struct epoll_event ready[512];
  for (u64 got = 0;;) {
    int k = epoll_wait(e, ready, 512, -1);
    for (int i = 0; i < k; i++) {
      ssize_t r = read(ready[i].data.fd, buffer, sizeof buffer);
      if (r <= 0) exit(0);
      got += r;
    }
    if (got >= (u64)n * size) { got -= (u64)n * size; if (write(done, "x", 1) != 1) exit(0); }
  }
}

int main(int argc, char **argv) {
  if (argc != 4) return 2;
  int n = atoi(argv[1]), size = atoi(argv[2]), done[2], one = 1;
  double seconds = atof(argv[3]);
  struct rlimit files = {n + 64, n + 64};
  if (setrlimit(RLIMIT_NOFILE, &files)) die("setrlimit");
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof at;
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  if (bind(listener, (struct sockaddr *)&at, length) || listen(listener, 4096) || getsockname(listener, (struct sockaddr *)&at, &length)) die("listen");
  if (pipe(done)) die("pipe");
  pid_t child = fork();
  if (!child) reader(&at, n, size, done[1]);
  int *fds = calloc(n, sizeof *fds);
  for (int i = 0; i < n; i++) {
    if ((fds[i] = accept(listener, NULL, NULL)) < 0) die("accept");
    setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  }
  char *frame = malloc(size), x;
  memset(frame, 'a', size);
  u64 writes = 0, until = now() + (u64)(seconds * 1e9);
  double before = used();
  while (now() < until) {
    for (int i = 0; i < n; i++) if (write(fds[i], frame, size) != size) die("write");
    writes += n;
    if (read(done[0], &x, 1) != 1) die("reader");
  }
  printf("FLOOR %.0f\n", writes / (used() - before));
  for (int i = 0; i < n; i++) close(fds[i]);
  waitpid(child, NULL, 0);
  return 0;
}
