// A load generator for sockets: one thread, epoll. It connects N members of one room, some of them write, all of them read.
//
//   wsload PORT ours|sio N sat|rate|idle|storm PARAM SECONDS [TOKENS]
//     sat    PARAM messages are in flight at any time          rate   PARAM messages a second
//     idle   connects, says READY and waits SECONDS             storm  connects all at once, twice, and says how long it took
//   TOKENS: a file with one access token per line, for ours. Prints READY, then
//   RESULT deliveries/s messages/s p50 p99 p99.9 (ms) deliveries        or        STORM seconds
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

typedef unsigned long long u64;
typedef struct { int fd, len, joined; unsigned char b[16384]; } Member;

enum { SIZE = 200, WRITERS = 4, BUCKETS = 200000 };  // bytes of a message; buckets of 10 µs
static Member *members;
static int count, sio, recording, port;
static u64 received, measured, other, sent;
static unsigned histogram[BUCKETS];
static char **tokens;
static int wave;  // of a storm: the second comes with tokens of its own, as if to a server that has not seen the first
static const char *ROOM = "room:01900000-0000-7000-8000-000000000001";

static void die(const char *what) { perror(what); exit(2); }
static u64 now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1000000000ULL + t.tv_nsec; }

static void on_frame(Member *m, unsigned char *p, int n) {
  unsigned char *q = sio ? (n > 10 && p[0] == '4' && p[1] == '2' ? memmem(p, n, "msg\",\"", 6) : NULL) : memmem(p, n, "\"text\":\"", 8);
  if (!q) {
    if (sio || memmem(p, n, "\"op\":\"subscribed\"", 17)) m->joined = 1;
    if (memmem(p, n, "\"op\":\"error\"", 12)) { fprintf(stderr, "%.*s\n", n, p); exit(6); }
    if (sio && n == 1 && p[0] == '2') { unsigned char pong[] = {0x81, 0x81, 0, 0, 0, 0, '3'}; if (write(m->fd, pong, 7) != 7) die("pong"); }
    other++;
    return;
  }
  q += sio ? 6 : 8;
  received++;
  if (!recording) return;
  u64 at = 0, took;
  for (int i = 0; i < 20; i++) at = at * 10 + (q[i] - '0');
  took = (now() - at) / 10000;
  measured++;
  histogram[took >= BUCKETS ? BUCKETS - 1 : took]++;
}

static void parse(Member *m) {
  int at = 0;
  while (m->len - at >= 2) {
    unsigned char *p = m->b + at;
    int size = p[1] & 127, head = 2;
    if (size == 126) { if (m->len - at < 4) break; size = p[2] << 8 | p[3]; head = 4; }
    else if (size == 127) { fprintf(stderr, "huge frame\n"); exit(3); }
    if (m->len - at < head + size) break;
    if ((p[0] & 15) == 8) { fprintf(stderr, "closed with %d\n", p[head] << 8 | p[head + 1]); exit(5); }
    if ((p[0] & 15) < 3) on_frame(m, p + head, size);
    at += head + size;
  }
  if (at) { memmove(m->b, m->b + at, m->len - at); m->len -= at; }
}

static int framed(unsigned char *out, const char *p, int n) {
  static const unsigned char mask[4] = {1, 2, 3, 4};
  int h = 0;
  out[h++] = 0x81;
  if (n < 126) out[h++] = 0x80 | n; else { out[h++] = 0x80 | 126; out[h++] = n >> 8; out[h++] = n & 255; }
  memcpy(out + h, mask, 4); h += 4;
  for (int i = 0; i < n; i++) out[h + i] = p[i] ^ mask[i & 3];
  return h + n;
}

static void ask(Member *m, const char *text) {
  unsigned char f[600];
  int n = framed(f, text, strlen(text));
  if (write(m->fd, f, n) != n) die("write");
}

static void dial(int i) {
  Member *m = members + i;
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(0x7f000001)};
  int one = 1, n;
  char b[8192];
  m->fd = socket(AF_INET, SOCK_STREAM, 0); m->len = m->joined = 0;
  if (connect(m->fd, (void *)&a, sizeof a)) die("connect");
  setsockopt(m->fd, IPPROTO_TCP, TCP_NODELAY, &one, 4);
  n = sprintf(b, "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n%s%s%s"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
    sio ? "/socket.io/?EIO=4&transport=websocket" : "/v1/socket", port,
    sio ? "" : "Authorization: Bearer ", sio ? "" : tokens[i + wave * count], sio ? "" : "\r\n");
  if (write(m->fd, b, n) != n) die("write");
}

static void more(Member *m) {
  int r = read(m->fd, m->b + m->len, sizeof m->b - m->len);
  if (r <= 0) die("read");
  m->len += r;
}

static void enter(Member *m) {
  unsigned char *e;
  char b[200];
  while (!(e = memmem(m->b, m->len, "\r\n\r\n", 4))) more(m);
  if (memcmp(m->b, "HTTP/1.1 101", 12)) { fprintf(stderr, "refused: %.*s\n", m->len, m->b); exit(2); }
  int k = e + 4 - m->b;
  memmove(m->b, e + 4, m->len - k); m->len -= k;
  if (sio) { u64 o = other; while (parse(m), other == o) more(m); m->joined = 0; ask(m, "40"); }
  else { sprintf(b, "{\"op\":\"subscribe\",\"topic\":\"%s\"}", ROOM); ask(m, b); }
}

static void settle(Member *m) {
  while (parse(m), !m->joined) more(m);
  fcntl(m->fd, F_SETFL, O_NONBLOCK);
}

static void publish(void) {
  char p[500];
  unsigned char f[600];
  int h = sio ? sprintf(p, "42[\"msg\",\"") : sprintf(p, "{\"op\":\"send\",\"topic\":\"%s\",\"client_id\":\"%llu\",\"text\":\"", ROOM, sent), n;
  h += sprintf(p + h, "%020llu ", now());
  memset(p + h, 'x', SIZE - 21); h += SIZE - 21;
  h += sprintf(p + h, sio ? "\"]" : "\"}");
  n = framed(f, p, h);
  if (write(members[count - 1 - sent % WRITERS].fd, f, n) != n) die("publish");
  sent++;
}

static double quantile(double part) {
  u64 sum = 0;
  for (int i = 0; i < BUCKETS; i++) if ((sum += histogram[i]) >= measured * part) return (i + 1) / 100.0;
  return BUCKETS / 100.0;
}

static void all_at_once(void) {
  for (int i = 0; i < count; i++) dial(i);
  for (int i = 0; i < count; i++) enter(members + i);
  for (int i = 0; i < count; i++) settle(members + i);
}

int main(int argc, char **argv) {
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit); limit.rlim_cur = limit.rlim_max; setrlimit(RLIMIT_NOFILE, &limit);
  port = atoi(argv[1]); sio = !strcmp(argv[2], "sio"); count = atoi(argv[3]);
  char mode = argv[4][0] == 's' && argv[4][1] == 't' ? 't' : argv[4][0];
  double parameter = atof(argv[5]), seconds = atof(argv[6]);
  members = calloc(count, sizeof *members);
  if (argc > 7) {
    FILE *f = fopen(argv[7], "r");
    char line[4096];
    int needed = mode == 't' ? 2 * count : count;
    tokens = calloc(needed, sizeof *tokens);
    for (int i = 0; i < needed; i++) { if (!f || !fgets(line, sizeof line, f)) die("tokens"); line[strcspn(line, "\n")] = 0; tokens[i] = strdup(line); }
  }
  if (mode == 't') {
    all_at_once();
    for (int i = 0; i < count; i++) close(members[i].fd);
    wave = 1;
    u64 from = now();
    all_at_once();
    printf("STORM %.3f\n", (now() - from) / 1e9);
    return 0;
  }
  for (int i = 0; i < count; i += 100) {
    int end = i + 100 < count ? i + 100 : count;
    for (int j = i; j < end; j++) dial(j);
    for (int j = i; j < end; j++) enter(members + j);
    for (int j = i; j < end; j++) settle(members + j);
  }
  int ep = epoll_create1(0);
  for (int i = 0; i < count; i++) { struct epoll_event e = {.events = EPOLLIN, .data.u32 = i}; epoll_ctl(ep, EPOLL_CTL_ADD, members[i].fd, &e); }
  printf("READY\n"); fflush(stdout);
  struct epoll_event events[1024];
  u64 start = now(), warm = start + (mode == 'i' ? 0 : 1000000000ULL), end = warm + seconds * 1e9, next = start, first = 0, from = 0, sent_before = 0, t;
  while ((t = now()) < end) {
    if (!recording && t >= warm) { recording = 1; first = received; from = t; sent_before = sent; printf("MEASURING\n"); fflush(stdout); }
    if (mode == 's') while (sent < parameter + received / count) publish();
    if (mode == 'r') while (next <= t) { publish(); next += 1e9 / parameter; }
    int n = epoll_wait(ep, events, 1024, mode == 'i' ? 100 : mode == 'r' ? 1 : 5);
    for (int i = 0; i < n; i++) {
      Member *m = members + events[i].data.u32;
      int r = read(m->fd, m->b + m->len, sizeof m->b - m->len);
      if (r == 0 || (r < 0 && errno != EAGAIN)) die("a member was closed");
      if (r > 0) { m->len += r; parse(m); }
    }
  }
  double took = (now() - from) / 1e9;
  u64 deliveries = received - first;
  printf("RESULT %.0f %.1f %.2f %.2f %.2f %llu\n", deliveries / took, (sent - sent_before) / took, quantile(.5), quantile(.99), quantile(.999), deliveries);
  return 0;
}
