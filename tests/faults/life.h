/* life.h - the short life that is played in the world of world.h: a script of what is asked for until it is
 * so. */
#ifndef TESTS_FAULTS_LIFE_H
#define TESTS_FAULTS_LIFE_H

enum life_part {
    LIFE_BEGUN, /* creation, a volume, fence devices, VMs, both migrations */
    LIFE_YOUNG, /* settings, queries */
    LIFE_OLD    /* a power cut, the node's return, a VM's end, a restart of all */
};

/* An empty cluster in the folder; what failed before is forgotten. */
void life_begin(const char *dir);
/* Plays these parts, up to the first thing that goes wrong (world_wrong). */
void life_live(enum life_part from, enum life_part to);
/* At its end: what was acknowledged is there. */
void life_check(void);

#endif
