#ifndef CSYSTEM_EVENTS_H
#define CSYSTEM_EVENTS_H

#endif
