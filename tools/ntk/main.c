#include <ntk/ntk.h>
#include <stdio.h>

int main(void) {
  printf("ntk %s\n", ntk_version());
  return 0;
}
