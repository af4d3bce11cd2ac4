/* The threads that share a job: those of the OpenMP runtime that PyTorch has loaded where there is one, for they are awake
 * when ours would have to be woken; else a pool that grows to what is asked for and sleeps between calls. Both survive a fork. */
#define _GNU_SOURCE /* RTLD_DEFAULT */
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>

#include "job.h"

static struct {
    pthread_mutex_t lock;
    pthread_cond_t wake, done;
    Job *job;
    int seats;   /* how many more threads may join the job */
    int joined;  /* how many have, and so the number of the next one */
    int working; /* how many have not finished */
    int size;    /* threads that exist */
    bool busy;   /* one job at a time */
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER, .done = PTHREAD_COND_INITIALIZER};

/* GNU's entry point, which LLVM's and Intel's runtimes offer on Linux too. Looked up, not linked: nothing needs OpenMP. */
typedef void Parallel(void (*member)(void *), void *data, unsigned threads, unsigned flags);
static Parallel *openmp;
static int (*thread_number)(void); /* the same from call to call, unlike the order in which they join */

/* `number` tells the threads of a job apart. A thread takes the tiles of share `own` first, whose memory may lie in its cache
 * since the last call, and then what others have left. */
static void work(Job *job, int number, int own) {
    const int64_t per_row = (job->seq + job->tokens - 1) / job->tokens, per_part = job->batch * per_row;
    const int64_t tiles = job->parts * per_part;
    float *scratch = job->scratch + number * 2 * job->tokens * job->pairs;
    for (int i = 0; i < job->threads; i++) {
        const int owner = (own + i) % job->threads;
        const int64_t start = tiles * owner / job->threads, end = tiles * (owner + 1) / job->threads;
        for (;;) {
            const int64_t taken = start + atomic_fetch_add(&job->shares[owner].taken, 1);
            if (taken >= end) break;
            const int64_t first = taken % per_row * job->tokens, last = first + job->tokens;
            const int64_t batch = taken % per_part / per_row, part = taken / per_part;
            job->work(job, (Tile){batch, first, last < job->seq ? last : job->seq, part}, scratch);
        }
    }
}

static void *worker(void *unused) {
    (void)unused;
    pthread_mutex_lock(&pool.lock);
    for (;;) {
        while (pool.seats == 0) pthread_cond_wait(&pool.wake, &pool.lock);
        pool.seats--, pool.working++;
        Job *job = pool.job;
        const int number = ++pool.joined;
        pthread_mutex_unlock(&pool.lock);
        work(job, number, number);
        pthread_mutex_lock(&pool.lock);
        if (--pool.working == 0) pthread_cond_signal(&pool.done);
    }
    return NULL;
}

/* In the child of a fork only the forking thread exists, and a lock may have been left taken. */
static void forget_threads(void) {
    pool.lock = (pthread_mutex_t)PTHREAD_MUTEX_INITIALIZER;
    pool.wake = pool.done = (pthread_cond_t)PTHREAD_COND_INITIALIZER;
    pool.seats = pool.working = pool.size = 0;
    pool.busy = false;
    openmp = NULL; /* its threads are gone as well, and not every runtime notices */
}

/* With all signals blocked, which a new thread inherits: Python handles them in its main thread. */
static void grow(int size) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (pthread_t thread; pool.size < size && pthread_create(&thread, NULL, worker, NULL) == 0; pool.size++)
        pthread_detach(thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* Returns false where another job has the pool. */
static bool open_seats(Job *job, int seats) {
    pthread_mutex_lock(&pool.lock);
    const bool mine = !pool.busy;
    if (mine) {
        if (pool.size < seats) grow(seats);
        pool.busy = true, pool.job = job, pool.seats = seats, pool.joined = 0;
        pthread_cond_broadcast(&pool.wake);
    }
    pthread_mutex_unlock(&pool.lock);
    return mine;
}

/* Whoever has not joined by now is not waited for. */
static void close_seats(void) {
    pthread_mutex_lock(&pool.lock);
    pool.seats = 0;
    while (pool.working) pthread_cond_wait(&pool.done, &pool.lock);
    pool.busy = false;
    pthread_mutex_unlock(&pool.lock);
}

/* A job and how many threads have joined it. */
typedef struct {
    Job *job;
    _Atomic int joined;
} Team;

static void member(void *data) {
    Team *team = data;
    const int joined = atomic_fetch_add(&team->joined, 1);
    work(team->job, joined, thread_number ? thread_number() : joined);
}

void find_threads(void) {
    *(void **)&openmp = dlsym(RTLD_DEFAULT, "GOMP_parallel");
    *(void **)&thread_number = dlsym(RTLD_DEFAULT, "omp_get_thread_num");
    pthread_atfork(NULL, NULL, forget_threads);
}

void run_job(Job *job) {
    if (job->threads > 1 && openmp) {
        Team team = {job, 0};
        openmp(member, &team, (unsigned)job->threads, 0);
        return;
    }
    const bool shared = job->threads > 1 && open_seats(job, job->threads - 1);
    work(job, 0, 0);
    if (shared) close_seats();
}
