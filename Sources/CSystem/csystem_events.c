#include "csystem_events.h"
