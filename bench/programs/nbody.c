/* Forty bodies under gravity, all pairs. Argument: rounds of 20,000 steps. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define BODIES 40
typedef struct {
  double x, y, z, vx, vy, vz, mass;
} body;
static body bodies[BODIES];

static void advance(body *p, double dt) {
  for (int i = 0; i < BODIES; i++) {
    body *b = &p[i];
    for (int j = i + 1; j < BODIES; j++) {
      body *c = &p[j];
      double dx = b->x - c->x, dy = b->y - c->y, dz = b->z - c->z;
      double squared = dx * dx + dy * dy + dz * dz;
      double magnitude = dt / (squared * sqrt(squared));
      b->vx -= dx * c->mass * magnitude;
      b->vy -= dy * c->mass * magnitude;
      b->vz -= dz * c->mass * magnitude;
      c->vx += dx * b->mass * magnitude;
      c->vy += dy * b->mass * magnitude;
      c->vz += dz * b->mass * magnitude;
    }
  }
  for (int i = 0; i < BODIES; i++) {
    p[i].x += dt * p[i].vx;
    p[i].y += dt * p[i].vy;
    p[i].z += dt * p[i].vz;
  }
}

static double energy(const body *p) {
  double sum = 0;
  for (int i = 0; i < BODIES; i++) {
    sum += 0.5 * p[i].mass * (p[i].vx * p[i].vx + p[i].vy * p[i].vy + p[i].vz * p[i].vz);
    for (int j = i + 1; j < BODIES; j++) {
      double dx = p[i].x - p[j].x, dy = p[i].y - p[j].y, dz = p[i].z - p[j].z;
      sum -= p[i].mass * p[j].mass / sqrt(dx * dx + dy * dy + dz * dz);
    }
  }
  return sum;
}

int main(int argc, char **argv) {
  int rounds = argc > 1 ? atoi(argv[1]) : 3;
  unsigned seed = 1;
  for (int i = 0; i < BODIES; i++) {
    double *field = &bodies[i].x;
    for (int k = 0; k < 7; k++) {
      seed = seed * 1103515245 + 12345;
      field[k] = (double)(seed >> 8) / (1 << 20);
    }
  }
  printf("%.9f\n", energy(bodies));
  for (int r = 0; r < rounds; r++) {
    for (int t = 0; t < 20000; t++) advance(bodies, 0.001);
    printf("round %d %.9f\n", r, energy(bodies));
    fflush(stdout);
  }
}
