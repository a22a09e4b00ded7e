#include <errno.h>
#include <zmq.h>

// Error numbers that are macros over other macros, which the importer does not carry over.
static const int czmq_eterm = ETERM;
static const int czmq_efsm = EFSM;
