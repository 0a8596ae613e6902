/* Crashes, power failures and failing system calls at every step of creating, writing and replacing a matrix. The calls
 * that the store makes are defined here, in front of the C library's. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/store/store.h"
#include "tests/support_store.h"

typedef enum fault_mode {
  FAULT_NONE,
  FAULT_KILL,  /* killed before call number `at` */
  FAULT_TORN,  /* killed in the middle of it */
  FAULT_POWER, /* power fails before it: some of what was not synced is lost */
  FAULT_ERROR, /* it fails with `error` */
  FAULT_SHORT  /* every call is interrupted once, and writes are short */
} fault_mode;

/* What a power failure may undo: a write or a change of a folder since the last sync. */
typedef struct undo {
  ino_t inode; /* of the file, or of the folder */
  int fd;
  int64_t offset, size, file_size;
  char old[512], name[64], new_name[64], backup[32];
} undo;

static struct {
  fault_mode mode;
  int at, calls, error;
  uint64_t random;
  bool interrupted;
  int undos, backups;
  undo undo[512];
} fault;

static uint32_t draw(void) {
  fault.random = fault.random * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)(fault.random >> 33);
}

static ssize_t real_pwrite(int fd, const void *bytes, size_t size, off_t offset) {
  return syscall(SYS_pwrite64, fd, bytes, size, offset);
}

static ino_t inode_of(int fd) {
  struct stat status;
  return fstat(fd, &status) == 0 ? status.st_ino : 0;
}

static void remember_write(int fd, size_t size, off_t offset) {
  struct stat status;
  undo *it = &fault.undo[fault.undos++];
  if (fault.undos == 512 || size > sizeof it->old || fstat(fd, &status) != 0) abort();
  *it = (undo){.inode = status.st_ino, .offset = offset, .size = (int64_t)size, .file_size = status.st_size};
  it->fd = dup(fd); /* it may be closed without having been synced */
  if (pread(fd, it->old, size, offset) < 0) memset(it->old, 0, size);
}

/* Keeps the file that a rename or unlink takes away. */
static void remember_name(int folder, const char *name, const char *new_name) {
  undo *it = &fault.undo[fault.undos++];
  *it = (undo){.inode = inode_of(folder), .fd = folder};
  if (new_name) snprintf(it->new_name, sizeof it->new_name, "%s", new_name);
  snprintf(it->name, sizeof it->name, "%s", name);
  snprintf(it->backup, sizeof it->backup, ".undo%d", fault.backups++);
  linkat(folder, new_name ? new_name : name, folder, it->backup, 0);
}

static void forget(int fd) {
  ino_t inode = inode_of(fd);
  int kept = 0;
  for (int k = 0; k < fault.undos; k++) {
    if (fault.undo[k].inode != inode)
      fault.undo[kept++] = fault.undo[k];
    else if (fault.undo[k].backup[0])
      syscall(SYS_unlinkat, fd, fault.undo[k].backup, 0);
    else
      close(fault.undo[k].fd);
  }
  fault.undos = kept;
}

static void undo_name(const undo *it) {
  if (it->new_name[0]) syscall(SYS_renameat2, it->fd, it->new_name, it->fd, it->name, 0);
  syscall(SYS_renameat2, it->fd, it->backup, it->fd, it->new_name[0] ? it->new_name : it->name, 0);
}

/* Each write and change of a folder since the last sync is kept, lost or (a write) half lost. */
static void lose_power(void) {
  for (int k = fault.undos - 1; k >= 0; k--) {
    const undo *it = &fault.undo[k];
    uint32_t choice = draw() % 4;
    if (choice == 0) continue;
    if (it->name[0]) {
      undo_name(it);
    } else {
      int64_t skip = choice == 1 ? it->size / 2 : 0;
      real_pwrite(it->fd, it->old + skip, (size_t)(it->size - skip), it->offset + skip);
      if (choice == 2 && it->file_size < it->offset + it->size) syscall(SYS_ftruncate, it->fd, it->file_size);
    }
  }
}

/* Called at every call; true: the call is to fail with errno. */
static bool strike(void) {
  if (fault.mode == FAULT_NONE) return false;
  if (fault.mode == FAULT_SHORT) {
    fault.interrupted = !fault.interrupted;
    errno = EINTR;
    return fault.interrupted;
  }
  if (fault.calls++ != fault.at) return false;
  if (fault.mode == FAULT_POWER) lose_power();
  if (fault.mode != FAULT_ERROR) raise(SIGKILL);
  errno = fault.error;
  return true;
}

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset) {
  if (fault.mode == FAULT_TORN && fault.calls == fault.at) real_pwrite(fd, bytes, size / 2, offset);
  if (strike()) return -1;
  if (fault.mode == FAULT_POWER) remember_write(fd, size, offset);
  return real_pwrite(fd, bytes, fault.mode == FAULT_SHORT && size > 3 ? 3 : size, offset);
}

static int sync_call(int fd) {
  if (strike()) return -1;
  forget(fd);
  return 0; /* nothing but the store's promises is lost: these tests simulate the disk */
}

int fdatasync(int fd) { return sync_call(fd); }

int fsync(int fd) { return sync_call(fd); }

int ftruncate(int fd, off_t size) { return strike() ? -1 : (int)syscall(SYS_ftruncate, fd, size); }

int fallocate(int fd, int mode, off_t offset, off_t size) {
  return strike() ? -1 : (int)syscall(SYS_fallocate, fd, mode, offset, size);
}

int renameat(int old_folder, const char *old_name, int new_folder, const char *new_name) {
  if (fault.mode != FAULT_SHORT && strike()) return -1; /* rename is never interrupted */
  if (fault.mode == FAULT_POWER) remember_name(old_folder, old_name, new_name);
  return (int)syscall(SYS_renameat2, old_folder, old_name, new_folder, new_name, 0);
}

int unlinkat(int folder, const char *name, int flags) {
  if (fault.mode != FAULT_SHORT && strike()) return -1;
  if (fault.mode == FAULT_POWER) remember_name(folder, name, NULL);
  return (int)syscall(SYS_unlinkat, folder, name, flags);
}

/* ---- the tests ---- */

static store_case small_case(void) {
  store_case it = store_case_new();
  it.count = 2;
  it.rows = it.columns = 5;
  it.symmetric = true;
  return it;
}

/* Tiles that a child's store said are durable; shared with the parent. */
static int64_t *promised;

static void share_promises(void) {
  promised = mmap(NULL, sizeof *promised, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  cr_assert(promised != MAP_FAILED);
}

TestSuite(store_crash, .init = share_promises);

/* Computes a matrix in commits of two tiles. */
static ntk_status compute(const store_case *it, store_mode mode) {
  ntk_store *store;
  int64_t written = 1;
  *promised = 0;
  ntk_status status = store_open(it, mode, &store);
  if (status != NTK_OK) return status;
  while (status == NTK_OK && written) {
    status = store_write_tiles(it, store, 2, 2, &written);
    if (status == NTK_OK) *promised += written;
  }
  ntk_status closed = ntk_store_close(store);
  return status == NTK_OK ? closed : status;
}

/* Whether the child was killed; false: it finished before the fault struck. */
static bool child_killed(const store_case *it, store_mode mode, fault_mode how, int at, uint64_t seed) {
  pid_t child = fork();
  if (child == 0) {
    fault.mode = how;
    fault.at = at;
    fault.random = (uint64_t)at + 1000 * seed;
    _exit(compute(it, mode) == NTK_OK ? 0 : 1);
  }
  int result;
  cr_assert_eq(waitpid(child, &result, 0), child);
  if (WIFEXITED(result)) cr_assert_eq(WEXITSTATUS(result), 0);
  return WIFSIGNALED(result);
}

static void remove_files(const store_case *it) {
  store_case_remove(it);
  cr_assert_eq(mkdir(it->folder, 0700), 0);
}

static void remove_backups(const store_case *it) {
  for (int k = 0; k < 64; k++) {
    char path[128];
    snprintf(path, sizeof path, "%s/.undo%d", it->folder, k);
    unlink(path);
  }
}

static void crash_while_computing(fault_mode how, uint64_t seed) {
  store_case it = small_case();
  int at = 0;
  while (child_killed(&it, STORE_RESUME, how, at, seed)) {
    remove_backups(&it);
    int64_t tiles = store_finish(&it, STORE_RESUME);
    cr_assert_leq(tiles, 6 - *promised, "call %d", at);
    store_assert_complete(&it);
    remove_files(&it);
    at++;
  }
  cr_assert_gt(at, 80); /* it was killed at every step */
  store_case_remove(&it);
}

Test(store_crash, killed_at_any_call) { crash_while_computing(FAULT_KILL, 1); }

Test(store_crash, killed_within_any_write) { crash_while_computing(FAULT_TORN, 1); }

Test(store_crash, power_fails_at_any_call) {
  for (uint64_t seed = 1; seed <= 4; seed++) crash_while_computing(FAULT_POWER, seed);
}

/* Killed again and again, each time a little later: what was durable is never asked for again. */
Test(store_crash, killed_many_times) {
  store_case it = small_case();
  int64_t left = 6;
  int at = 45;
  for (; child_killed(&it, STORE_RESUME, FAULT_POWER, at, 1); at += 7) {
    ntk_store *store;
    int64_t missing = 0;
    remove_backups(&it);
    cr_assert_eq(store_open(&it, STORE_RESUME, &store), NTK_OK, "%s", ntk_last_error());
    for (int64_t i = 0; i < 3; i++)
      for (int64_t j = i; j < 3; j++) missing += !ntk_store_done(store, i, j);
    cr_assert_eq(ntk_store_close(store), NTK_OK);
    cr_assert_leq(missing, left);
    left = missing;
  }
  cr_assert_lt(left, 6);
  store_assert_complete(&it);
  store_case_remove(&it);
}

/* After a crash within --overwrite: the old matrix as it was, or the new one begun, or neither can be mistaken for the
 * other. */
static void check_replaced(const store_case *old, const store_case *new) {
  ntk_store *store;
  char *manifest;
  bool old_is_there = ntk_store_read_manifest(old->path[0], &manifest) == NTK_OK && strstr(manifest, "\"old\"");
  free(manifest);
  if (old_is_there) { /* a reader that sees the manifest may trust the values */
    store_assert_values(old);
    cr_assert_eq(store_open(old, STORE_RESUME, &store), NTK_OK, "%s", ntk_last_error());
    cr_assert_eq(ntk_store_close(store), NTK_OK);
    store_assert_complete(old);
  }
  ntk_status status = store_open(new, STORE_RESUME, &store);
  if (status == NTK_OK)
    cr_assert_eq(ntk_store_close(store), NTK_OK);
  else if (old_is_there)
    cr_assert_eq(status, NTK_ERROR_MISMATCH, "%s", ntk_last_error());
  else
    cr_assert(strstr(ntk_last_error(), "is missing although"), "%s", ntk_last_error());
  store_finish(new, status == NTK_OK ? STORE_RESUME : STORE_OVERWRITE);
  store_assert_complete(new);
}

static void crash_while_replacing(fault_mode how, uint64_t seed) {
  store_case old = small_case();
  old.count = 1;
  store_case new = old;
  old.manifest = "{\"identity\": {\"name\": \"old\"}}";
  new.manifest = "{\"identity\": {\"name\": \"new\"}}";
  new.shift = 1000;
  int at = 0;
  for (store_finish(&old, STORE_CREATE); child_killed(&new, STORE_OVERWRITE, how, at, seed); at++) {
    remove_backups(&old);
    check_replaced(&old, &new);
    store_finish(&old, STORE_OVERWRITE);
  }
  cr_assert_gt(at, 40);
  store_case_remove(&old);
}

Test(store_crash, killed_while_replacing) { crash_while_replacing(FAULT_KILL, 1); }

Test(store_crash, power_fails_while_replacing) {
  for (uint64_t seed = 1; seed <= 4; seed++) crash_while_replacing(FAULT_POWER, seed);
}

static ntk_status open_with_error(const store_case *it, store_mode mode, int at, int error, ntk_store **store) {
  fault.mode = FAULT_ERROR;
  fault.at = at;
  fault.calls = 0;
  fault.error = error;
  ntk_status status = store_open(it, mode, store);
  fault.mode = FAULT_NONE;
  return status;
}

Test(store_crash, a_failed_creation_leaves_no_files) {
  store_case it = small_case();
  ntk_store *store = NULL;
  int at = 0;
  for (; open_with_error(&it, STORE_CREATE, at, EIO, &store) != NTK_OK; at++) {
    cr_assert(strstr(ntk_last_error(), it.folder) && strstr(ntk_last_error(), strerror(EIO)), "%s", ntk_last_error());
    cr_assert_eq(store_files(&it), 0, "call %d left files: %s", at, ntk_last_error());
  }
  cr_assert_gt(at, 30);
  cr_assert_eq(ntk_store_close(store), NTK_OK);
  store_case_remove(&it);
}

Test(store_crash, an_old_matrix_survives_a_failed_replacement) {
  store_case it = small_case();
  store_finish(&it, STORE_CREATE);
  ntk_store *store = NULL;
  for (int at = 0; at < 22; at++) { /* up to the point where the new files are complete */
    cr_assert_eq(open_with_error(&it, STORE_OVERWRITE, at, ENOSPC, &store), NTK_ERROR_IO);
    cr_assert(strstr(ntk_last_error(), "the disk is full"), "%s", ntk_last_error());
    store_assert_complete(&it);
  }
  store_case_remove(&it);
}

Test(store_crash, a_disk_that_cannot_reserve_is_written_all_the_same) {
  store_case it = small_case();
  for (int at = 1; at <= 5; at += 4) { /* the journal's, the values' blocks */
    ntk_store *store;
    cr_assert_eq(open_with_error(&it, STORE_OVERWRITE, at, EOPNOTSUPP, &store), NTK_OK, "%s", ntk_last_error());
    cr_assert_eq(ntk_store_close(store), NTK_OK);
    store_finish(&it, STORE_RESUME);
    store_assert_complete(&it);
  }
  store_case_remove(&it);
}

Test(store_crash, failing_calls_leave_a_resumable_store) {
  static const int errors[] = {EIO, ENOSPC};
  store_case it = small_case();
  for (int pick = 0; pick < 2; pick++) {
    int failures = 0;
    for (int at = 0;; at++) {
      ntk_store *store;
      int64_t written;
      cr_assert_eq(store_open(&it, STORE_OVERWRITE, &store), NTK_OK, "%s", ntk_last_error());
      fault.mode = FAULT_ERROR;
      fault.at = at;
      fault.calls = 0;
      fault.error = errors[pick];
      ntk_status status = store_write_tiles(&it, store, -1, 2, &written);
      bool failed = status != NTK_OK;
      status = ntk_store_close(store);
      fault.mode = FAULT_NONE;
      bool struck = fault.calls > at;
      cr_assert(!struck || failed || status != NTK_OK || store_exists(store_file(&it, ".json")), "call %d", at);
      cr_assert(struck || status == NTK_OK);
      store_finish(&it, STORE_RESUME);
      store_assert_complete(&it);
      failures += struck;
      if (!struck) break;
    }
    cr_assert_gt(failures, 40);
  }
  store_case_remove(&it);
}

/* After a failed sync the system may have dropped the values, and the next sync would not tell. */
Test(store_crash, nothing_is_journalled_after_a_failed_sync) {
  store_case it = store_case_new();
  ntk_store *store;
  cr_assert_eq(store_open(&it, STORE_CREATE, &store), NTK_OK);
  cr_assert_eq(store_write_tile(&it, store, 0, 0), NTK_OK);
  fault.mode = FAULT_ERROR;
  fault.at = fault.calls = 0;
  fault.error = EIO;
  cr_assert_eq(ntk_store_flush(store), NTK_ERROR_IO);
  cr_assert(strstr(ntk_last_error(), "K0.npy cannot be made durable"), "%s", ntk_last_error());
  cr_assert_eq(ntk_store_flush(store), NTK_ERROR_IO);
  cr_assert_eq(store_write_tile(&it, store, 0, 1), NTK_ERROR_IO);
  cr_assert(strstr(ntk_last_error(), "K0.npy cannot be made durable"), "%s", ntk_last_error());
  cr_assert_eq(ntk_store_close(store), NTK_ERROR_IO);
  cr_assert_eq(store_file_size(store_file(&it, ".journal")), 64);
  fault.mode = FAULT_NONE;
  cr_assert_eq(store_finish(&it, STORE_RESUME), 12);
  store_assert_complete(&it);
  store_case_remove(&it);
}

Test(store_crash, interrupted_calls_and_short_writes_are_continued) {
  store_case it = small_case();
  fault.mode = FAULT_SHORT;
  cr_assert_eq(compute(&it, STORE_CREATE), NTK_OK, "%s", ntk_last_error());
  fault.mode = FAULT_NONE;
  store_assert_complete(&it);
  cr_assert_eq(store_finish(&it, STORE_RESUME), 0);
  store_case_remove(&it);
}

/* kill -9 at whatever instant. */
Test(store_crash, killed_at_random_instants) {
  store_case it = small_case();
  it.rows = it.columns = 40;
  fault.random = 7;
  int64_t asked = 0;
  for (int round = 0; round < 20; round++) {
    pid_t child = fork();
    if (child == 0) _exit(compute(&it, STORE_RESUME) == NTK_OK ? 0 : 1);
    usleep(draw() % 4000);
    kill(child, SIGKILL);
    cr_assert_eq(waitpid(child, NULL, 0), child);
    ntk_store *store;
    int64_t written;
    cr_assert_eq(store_open(&it, STORE_RESUME, &store), NTK_OK, "%s", ntk_last_error());
    cr_assert_eq(store_write_tiles(&it, store, 10, 1, &written), NTK_OK);
    cr_assert_eq(ntk_store_close(store), NTK_OK);
    asked += written;
  }
  asked += store_finish(&it, STORE_RESUME);
  cr_assert_leq(asked, 20 * 21 / 2);
  store_assert_complete(&it);
  store_case_remove(&it);
}
