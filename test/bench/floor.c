/* The least that a fan-out can cost on this kernel: one process writes the same bytes to every socket at a fixed
 * cadence, and knows no protocol. Whoever serves these viewers with as many writes cannot be cheaper.
 *
 *   cc -O2 -o floor floor.c && ./floor VIEWERS WRITES_PER_SECOND KBPS SECONDS
 *
 * Prints the port that it listens on as a line of JSON, waits for so many connections, and writes to them. Who reads
 * matters to who writes (wake-ups, acknowledgements, how full the socket is): a floor is only one for servers that the
 * same load generator reads from. Prints a second line: CPU seconds of the writer, bytes that the kernel took, seconds,
 * and writes that it took only in part or not at all. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
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
  printf("{\"port\":%d}\n", ntohs(address.sin_port));
  fflush(stdout);

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
  return 0;
}
