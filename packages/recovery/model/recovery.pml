/*
 * Release and change of epochs, for spin: the rules of spec/recovery.md §5, §7 and §8 with three witnesses, two of
 * which are enough. Any process may stop at any point and begin again with what is durable; any message may be lost
 * (they are steps that need not be taken) or come twice (they stay). What must never be is asserted.
 *
 * The names in capitals are mistakes on purpose: with each of them spin must find a way to an assertion.
 */
#define N 3
#define K 2
/* Acknowledgements: the specification asks for no fewer than max(K, N - K + 1), which is what the model has. */
#ifdef FEW_ACKNOWLEDGEMENTS
#define A 1
#else
#define A 2
#endif
/* One more than the number of epochs: numbers begin with 1. */
#ifndef EPOCHS
#define EPOCHS 3
#endif

/* Durable at a witness: a bit for each epoch of which it has a share; what it committed. */
byte held[N];
byte committed[N];
/* Durable at the owner. */
byte wraps = 2;          /* a bit for each epoch: epoch 1 at first */
byte decided = 1;
byte tried = 1;
/* Messages on their way, by witness: the newest of each kind, which may be taken more than once. */
byte prepareFor[N];
byte commitFor[N];
bool preparedBy[N * EPOCHS];
bool committedBy[N * EPOCHS];
/* The gate of each witness for the owner's present attempt, and shares that were given in it: epoch, or 0. */
bool gate[N];
/* It was asked while the gate was open, and looks around. */
bool asked[N];
byte attempt = 1;
byte shareOf[N];
byte shareAttempt[N];

#define bit(e) (1 << (e))
#define holders(e) (((held[0] >> (e)) & 1) + ((held[1] >> (e)) & 1) + ((held[2] >> (e)) & 1))
#define counted(flags, e) (flags[0 * EPOCHS + (e)] + flags[1 * EPOCHS + (e)] + flags[2 * EPOCHS + (e)])
#define given(w, e) (shareOf[w] == (e) && shareAttempt[w] == attempt)
/* What the owner takes for a share that it can use. */
#if defined(MIXED_EPOCHS)
#define usable(w) (shareOf[w] != 0 && shareAttempt[w] == attempt)
#elif defined(OLD_ATTEMPTS)
#define usable(w) (shareOf[w] == decided)
#else
#define usable(w) given(w, decided)
#endif

/* True at every crash: some wrapped key has K shares; once the old wrap is gone, no old epoch has. */
inline check() {
  assert(((wraps & bit(decided)) != 0) && holders(decided) >= K);
  assert(wraps != bit(decided) || decided < 2 || holders(1) < K);
  assert(wraps != bit(decided) || decided < 3 || holders(2) < K)
}

proctype Witness(byte w) {
  do
  :: atomic { prepareFor[w] > committed[w] && (held[w] >> prepareFor[w]) == 0 ->
       /* Only the committed share and the newest prepared one stay. */
       held[w] = (held[w] & bit(committed[w])) | bit(prepareFor[w]);
       check() }
  :: atomic { prepareFor[w] > 0 && (held[w] & bit(prepareFor[w])) != 0 && !preparedBy[w * EPOCHS + prepareFor[w]] ->
       preparedBy[w * EPOCHS + prepareFor[w]] = true }
  :: atomic { commitFor[w] > committed[w] && (held[w] & bit(commitFor[w])) != 0 ->
       committed[w] = commitFor[w];
       held[w] = held[w] & ~(bit(committed[w]) - 1);
       check() }
  :: atomic { commitFor[w] > 0 && committed[w] == commitFor[w] && !committedBy[w * EPOCHS + commitFor[w]] ->
       committedBy[w * EPOCHS + commitFor[w]] = true }
  /* The gate opens and shuts as facts change; a share leaves only while it is open, and only of an epoch that is held. */
  :: atomic { gate[w] = !gate[w] }
  :: atomic { gate[w] && !asked[w] && (held[w] & bit(decided)) != 0 && !given(w, decided) -> asked[w] = true }
#ifdef NO_SECOND_LOOK
  :: atomic { asked[w] ->
#else
  :: atomic { asked[w] && gate[w] && (held[w] & bit(decided)) != 0 && committed[w] <= decided ->
#endif
       assert(gate[w] && (held[w] & bit(decided)) != 0);
       asked[w] = false; shareOf[w] = decided; shareAttempt[w] = attempt }
  :: atomic { asked[w] -> asked[w] = false }
  od
}

proctype Owner() {
  byte w;
  /* Volatile: what it is doing. 0 nothing, 1 preparing, 2 committing. */
  byte phase = 0;
  do
  :: atomic { phase != 2 && tried + 1 < EPOCHS ->
       tried = tried + 1; phase = 1;
       w = 0; do :: w < N -> prepareFor[w] = tried; w++ :: else -> break od }
  :: atomic { phase == 1 && counted(preparedBy, tried) >= A ->
       wraps = wraps | bit(tried); decided = tried; phase = 2;
       w = 0; do :: w < N -> commitFor[w] = decided; w++ :: else -> break od;
       check() }
  :: atomic { phase == 2 && counted(committedBy, decided) >= A ->
       wraps = bit(decided); phase = 0;
       check() }
  /* A crash at any point, and the start after it. Shares that are on their way are of an older attempt from now on. */
  :: atomic { attempt < 2 ->
       attempt++;
       if :: wraps != bit(decided) -> phase = 2; w = 0; do :: w < N -> commitFor[w] = decided; w++ :: else -> break od
          :: else -> phase = 0
       fi }
  /* Release: what the owner counts must be K shares of one epoch and of this attempt, and the key for them is there. */
  :: atomic { usable(0) + usable(1) + usable(2) >= K ->
       assert((wraps & bit(decided)) != 0);
       assert(given(0, decided) + given(1, decided) + given(2, decided) >= K);
       shareOf[0] = 0; shareOf[1] = 0; shareOf[2] = 0 }
  od
}

init {
  atomic {
    byte w = 0;
    do :: w < N -> held[w] = 2; committed[w] = 1; w++ :: else -> break od;
    run Witness(0); run Witness(1); run Witness(2);
    run Owner()
  }
}
