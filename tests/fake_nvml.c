/* A stand-in for the NVIDIA driver's library, loaded by pynvml's own loader: two cards whose state
   is read from the file that FAKE_NVML names, one "key value" a line, anew at every call that may
   change. Card 1 lacks what older cards lack: SM activity, ECC, fan. While it says "hang 1", counting
   the cards does not return. Only what the studio asks for is here; anything else is
   NVML_ERROR_FUNCTION_NOT_FOUND to pynvml. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SUCCESS = 0, UNINITIALIZED = 1, INVALID = 2, NOT_SUPPORTED = 3, NOT_LOADED = 9, ABSENT = 12, LOST = 15 };

typedef struct { int index; } card;
static card cards[2] = {{0}, {1}};
static int is_up = 0;
static int samples[64];
static int next_sample = 0;

static double state(const char *key, double otherwise) {
  const char *path = getenv("FAKE_NVML");
  FILE *file = path ? fopen(path, "r") : NULL;
  char name[64];
  double value;
  if (!file) return otherwise;
  while (fscanf(file, "%63s %lf", name, &value) == 2)
    if (!strcmp(name, key)) otherwise = value;
  fclose(file);
  return otherwise;
}

static double of(const card *one, const char *key, double otherwise) {
  char name[64];
  snprintf(name, sizeof name, "gpu%d.%s", one->index, key);
  return state(name, otherwise);
}

static int check(const card *one) {
  if (!is_up || state("down", 0)) return UNINITIALIZED;
  return of(one, "lost", 0) ? LOST : SUCCESS;
}

#define ASK(one) do { int rc = check(one); if (rc) return rc; } while (0)

int nvmlInit_v2(void) {
  if (!getenv("FAKE_NVML")) return ABSENT; /* some other library may still hold this one open */
  if (state("down", 0)) return NOT_LOADED;
  is_up = 1;
  return SUCCESS;
}
int nvmlInitWithFlags(unsigned flags) { (void)flags; return nvmlInit_v2(); }
int nvmlShutdown(void) { is_up = 0; return SUCCESS; }
const char *nvmlErrorString(int code) {
  switch (code) {
    case UNINITIALIZED: return "Uninitialized";
    case INVALID: return "Invalid Argument";
    case NOT_SUPPORTED: return "Not Supported";
    case ABSENT: return "NVML Shared Library Not Found";
    case NOT_LOADED: return "Driver Not Loaded";
    case LOST: return "GPU is lost";
    default: return "Unknown Error";
  }
}
int nvmlSystemGetDriverVersion(char *text, unsigned size) {
  snprintf(text, size, "580.95.05");
  return SUCCESS;
}
int nvmlSystemGetCudaDriverVersion(int *version) { *version = 13000; return SUCCESS; }
int nvmlDeviceGetCount_v2(unsigned *count) {
  while (state("hang", 0)) usleep(20000);
  if (!is_up || state("down", 0)) return UNINITIALIZED;
  *count = (unsigned)state("cards", 2);
  return SUCCESS;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, card **one) {
  if (index >= (unsigned)state("cards", 2)) return INVALID;
  *one = &cards[index];
  return check(*one);
}
int nvmlDeviceGetName(card *one, char *text, unsigned size) {
  ASK(one);
  snprintf(text, size, "NVIDIA Pretend %d", one->index);
  return SUCCESS;
}
int nvmlDeviceGetUUID(card *one, char *text, unsigned size) {
  ASK(one);
  snprintf(text, size, "GPU-0000000%d-0000-0000-0000-000000000000", one->index);
  return SUCCESS;
}
int nvmlDeviceGetMemoryInfo(card *one, unsigned long long *memory) {
  ASK(one);
  memory[0] = 80ULL << 30;
  memory[2] = (unsigned long long)(of(one, "memory", 0.25) * memory[0]);
  memory[1] = memory[0] - memory[2];
  return SUCCESS;
}
int nvmlDeviceGetUtilizationRates(card *one, unsigned *rates) {
  ASK(one);
  rates[0] = (unsigned)of(one, "utilization", 64);
  rates[1] = 30;
  return SUCCESS;
}
int nvmlDeviceGetTemperature(card *one, int sensor, unsigned *degrees) {
  (void)sensor;
  ASK(one);
  *degrees = (unsigned)of(one, "temperature", 61);
  return SUCCESS;
}
int nvmlDeviceGetTemperatureThreshold(card *one, int threshold, unsigned *degrees) {
  (void)threshold;
  ASK(one);
  *degrees = 93;
  return SUCCESS;
}
int nvmlDeviceGetFanSpeed(card *one, unsigned *percent) {
  ASK(one);
  if (one->index == 1) return NOT_SUPPORTED;
  *percent = 40;
  return SUCCESS;
}
int nvmlDeviceGetPowerUsage(card *one, unsigned *milliwatts) {
  ASK(one);
  *milliwatts = (unsigned)of(one, "power", 350000);
  return SUCCESS;
}
int nvmlDeviceGetEnforcedPowerLimit(card *one, unsigned *milliwatts) {
  ASK(one);
  *milliwatts = 700000;
  return SUCCESS;
}
int nvmlDeviceGetClockInfo(card *one, int kind, unsigned *megahertz) {
  ASK(one);
  *megahertz = kind == 2 ? 2619 : 1755;
  return SUCCESS;
}
int nvmlDeviceGetMaxClockInfo(card *one, int kind, unsigned *megahertz) {
  (void)kind;
  ASK(one);
  *megahertz = 1980;
  return SUCCESS;
}
int nvmlDeviceGetCurrentClocksEventReasons(card *one, unsigned long long *reasons) {
  ASK(one);
  *reasons = (unsigned long long)of(one, "reasons", 1);
  return SUCCESS;
}
int nvmlDeviceGetCurrPcieLinkGeneration(card *one, unsigned *generation) {
  ASK(one);
  *generation = 5;
  return SUCCESS;
}
int nvmlDeviceGetCurrPcieLinkWidth(card *one, unsigned *width) {
  ASK(one);
  *width = 16;
  return SUCCESS;
}
int nvmlDeviceGetPcieThroughput(card *one, int counter, unsigned *kilobytes) {
  ASK(one);
  *kilobytes = counter == 0 ? 1200 : 52000;
  return SUCCESS;
}
int nvmlDeviceGetTotalEccErrors(card *one, int type, int counter, unsigned long long *count) {
  (void)counter;
  ASK(one);
  if (one->index == 1) return NOT_SUPPORTED;
  *count = type == 0 ? 3 : 0;
  return SUCCESS;
}
int nvmlGpmQueryDeviceSupport(card *one, unsigned *support) {
  ASK(one);
  support[1] = one->index == 0;
  return SUCCESS;
}
int nvmlGpmSampleAlloc(int **sample) {
  *sample = &samples[next_sample++ % 64];
  return SUCCESS;
}
int nvmlGpmSampleFree(int *sample) { (void)sample; return SUCCESS; }
int nvmlGpmSampleGet(card *one, int *sample) {
  ASK(one);
  *sample = 1;
  return SUCCESS;
}
int nvmlGpmMetricsGet(char *question) { /* version, count, two samples; then id, return, value */
  int code = SUCCESS;
  double value = state("gpu0.sm_activity", 42.5);
  memcpy(question + 28, &code, sizeof code);
  memcpy(question + 32, &value, sizeof value);
  return SUCCESS;
}
