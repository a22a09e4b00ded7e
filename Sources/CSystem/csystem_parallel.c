#include "csystem_parallel.h"
