/* Runs one signature of a SavedModel through TensorFlow's C API, as a server without
   Python does, and prints its outputs as text: one line per output and example.

   serve MODEL INPUT_OP floats FILE HEIGHT WIDTH CHANNELS OUTPUT_OP:INDEX...
   serve MODEL INPUT_OP files N FILE... OUTPUT_OP:INDEX...

   FILE of floats holds float32 pixels of as many images as its size tells. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tensorflow/c/c_api.h>
#include <tensorflow/c/tf_tstring.h>

#define MOST_OUTPUTS 8

static void fail(const char *what, const char *why) {
  fprintf(stderr, "%s: %s\n", what, why);
  exit(1);
}

static void check(TF_Status *status, const char *what) {
  if (TF_GetCode(status) != TF_OK) fail(what, TF_Message(status));
}

static char *content(const char *path, size_t *size) {
  FILE *file = fopen(path, "rb");
  if (!file) fail(path, "cannot be read");
  fseek(file, 0, SEEK_END);
  *size = ftell(file);
  rewind(file);
  char *bytes = malloc(*size + 1);
  if (fread(bytes, 1, *size, file) != *size) fail(path, "cannot be read");
  fclose(file);
  return bytes;
}

static TF_Tensor *floats(char **argv) {
  size_t size;
  char *bytes = content(argv[0], &size);
  int64_t dims[4] = {0, atoi(argv[1]), atoi(argv[2]), atoi(argv[3])};
  dims[0] = size / sizeof(float) / (dims[1] * dims[2] * dims[3]);
  TF_Tensor *tensor = TF_AllocateTensor(TF_FLOAT, dims, 4, size);
  memcpy(TF_TensorData(tensor), bytes, size);
  free(bytes);
  return tensor;
}

static TF_Tensor *strings(char **paths, int64_t count) {
  TF_Tensor *tensor =
      TF_AllocateTensor(TF_STRING, &count, 1, count * sizeof(TF_TString));
  TF_TString *data = TF_TensorData(tensor);
  for (int64_t i = 0; i < count; i++) {
    size_t size;
    char *bytes = content(paths[i], &size);
    TF_TString_Init(&data[i]);
    TF_TString_Copy(&data[i], bytes, size);
    free(bytes);
  }
  return tensor;
}

static void print(const char *name, TF_Tensor *tensor) {
  int64_t rows = TF_Dim(tensor, 0), columns = 1;
  for (int axis = 1; axis < TF_NumDims(tensor); axis++) columns *= TF_Dim(tensor, axis);
  for (int64_t row = 0; row < rows; row++) {
    printf("%s", name);
    for (int64_t i = row * columns; i < (row + 1) * columns; i++) {
      if (TF_TensorType(tensor) == TF_FLOAT) {
        printf("\t%.9g", ((float *)TF_TensorData(tensor))[i]);
      } else {
        TF_TString *string = (TF_TString *)TF_TensorData(tensor) + i;
        printf("\t%.*s", (int)TF_TString_GetSize(string),
               TF_TString_GetDataPointer(string));
      }
    }
    printf("\n");
  }
}

static TF_Output output(TF_Graph *graph, const char *text) {
  char name[256];
  snprintf(name, sizeof name, "%s", text);
  char *colon = strrchr(name, ':');
  TF_Output found = {NULL, colon ? atoi(colon + 1) : 0};
  if (colon) *colon = 0;
  found.oper = TF_GraphOperationByName(graph, name);
  if (!found.oper) fail(text, "is not in the graph");
  return found;
}

int main(int argc, char **argv) {
  TF_Status *status = TF_NewStatus();
  TF_Graph *graph = TF_NewGraph();
  TF_SessionOptions *options = TF_NewSessionOptions();
  const char *tags[] = {"serve"};
  TF_Session *session = TF_LoadSessionFromSavedModel(options, NULL, argv[1], tags, 1,
                                                     graph, NULL, status);
  check(status, argv[1]);

  TF_Output input = output(graph, argv[2]), outputs[MOST_OUTPUTS];
  int files = !strcmp(argv[3], "files"), first = files ? 5 + atoi(argv[4]) : 8;
  TF_Tensor *given = files ? strings(argv + 5, atoi(argv[4])) : floats(argv + 4);
  int count = argc - first;
  for (int i = 0; i < count; i++) outputs[i] = output(graph, argv[first + i]);

  TF_Tensor *results[MOST_OUTPUTS] = {NULL};
  TF_SessionRun(session, NULL, &input, &given, 1, outputs, results, count, NULL, 0,
                NULL, status);
  check(status, "run");
  for (int i = 0; i < count; i++) print(argv[first + i], results[i]);

  TF_CloseSession(session, status);
  TF_DeleteSession(session, status);
  check(status, "close");
  return 0;
}
