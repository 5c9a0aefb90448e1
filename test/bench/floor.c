/* The least that a fan-out can cost on this kernel: one process writes the same bytes to every socket at a fixed
 * cadence, and knows no protocol. Whoever serves these viewers with as many writes cannot be cheaper.
 *
 *   cc -O2 -o floor floor.c && ./floor VIEWERS WRITES_PER_SECOND KBPS SECONDS
 *
 * A forked child reads everything, over epoll, and is not counted. Prints one line of JSON: CPU seconds of the writer,
 * bytes that the kernel took, seconds, and writes that it took only in part or not at all. */
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static double cpu_seconds(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static double seconds_of(struct timespec t) { return t.tv_sec + t.tv_nsec / 1e9; }

static void read_all(struct sockaddr_in address, int viewers) {
  static char buffer[1 << 18];
  struct epoll_event ready[512];
  int poll = epoll_create1(0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  for (int i = 0; i < viewers; i++) {
    int s = socket(AF_INET, SOCK_STREAM, 0);
    if (s < 0 || connect(s, (struct sockaddr *)&address, sizeof address) < 0) fail("connect");
    struct epoll_event event = {.events = EPOLLIN, .data.fd = s};
    epoll_ctl(poll, EPOLL_CTL_ADD, s, &event);
  }
  for (;;) {
    int n = epoll_wait(poll, ready, 512, -1);
    for (int i = 0; i < n; i++)
      if (recv(ready[i].data.fd, buffer, sizeof buffer, MSG_DONTWAIT) == 0) exit(0);
  }
}

int main(int argc, char **argv) {
  if (argc != 5) {
    fprintf(stderr, "usage: floor VIEWERS WRITES_PER_SECOND KBPS SECONDS\n");
    return 2;
  }
  int viewers = atoi(argv[1]), on = 1;
  double hertz = atof(argv[2]);
  size_t piece = (size_t)(atof(argv[3]) * 125 / hertz);
  long pause = (long)(1e9 / hertz);
  long rounds = (long)(atof(argv[4]) * hertz);
  signal(SIGPIPE, SIG_IGN);

  int listener = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  if (bind(listener, (struct sockaddr *)&address, size) < 0 || listen(listener, 1024) < 0) fail("listen");
  getsockname(listener, (struct sockaddr *)&address, &size);
  pid_t reader = fork();
  if (reader < 0) fail("fork");
  if (reader == 0) read_all(address, viewers);

  int *sockets = calloc(viewers, sizeof *sockets);
  char *bytes = calloc(1, piece);
  for (int i = 0; i < viewers; i++) {
    sockets[i] = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    if (sockets[i] < 0) fail("accept");
    setsockopt(sockets[i], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }

  long long taken = 0;
  long refused = 0;
  struct timespec start, due, end;
  clock_gettime(CLOCK_MONOTONIC, &start);
  due = start;
  double cpu = cpu_seconds();
  for (long round = 0; round < rounds; round++) {
    for (int i = 0; i < viewers; i++) {
      ssize_t n = write(sockets[i], bytes, piece);
      if (n > 0) taken += n;
      if (n < (ssize_t)piece) refused++;
    }
    due.tv_nsec += pause;
    while (due.tv_nsec >= 1000000000L) {
      due.tv_sec++;
      due.tv_nsec -= 1000000000L;
    }
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
  }
  cpu = cpu_seconds() - cpu;
  clock_gettime(CLOCK_MONOTONIC, &end);
  printf("{\"cpuSeconds\":%.6f,\"bytes\":%lld,\"seconds\":%.3f,\"refused\":%ld}\n", cpu, taken,
         seconds_of(end) - seconds_of(start), refused);
  kill(reader, SIGKILL);
  waitpid(reader, NULL, 0);
  return 0;
}
