// The few system calls and machine facts that Swift's C library module does not offer.
#ifndef CSYSTEM_H
#define CSYSTEM_H

#include "csystem_events.h"
#include "csystem_files.h"
#include "csystem_parallel.h"
#include "csystem_process.h"

#endif
