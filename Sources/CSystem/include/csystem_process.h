#ifndef CSYSTEM_PROCESS_H
#define CSYSTEM_PROCESS_H

#endif
