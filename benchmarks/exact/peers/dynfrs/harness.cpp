// Runs DynFrs on a scene: one process, one forest, one kind of deletion, because its single and batch deletions cannot
// be mixed (they end in NaN or a crash). Ours; includes the peer's header, which is not part of this repository.
//
//   harness FILE MODE LAZY T K DEPTH SPLITS SEED ARGUMENT
//
// MODE singles: ARGUMENT deletions one by one. MODE batch: ARGUMENT rows at once. MODE law: ARGUMENT forests of one
// tree; rows to delete are the first `gone` of the order. FILE: int64 n, d, nt, m; float64 X, Xt; int32 y, order.

#include "DynFrs.h"
#include <time.h>

static double cpu() { timespec t; clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); return t.tv_sec + 1e-9 * t.tv_nsec; }
static double wall() { timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + 1e-9 * t.tv_nsec; }
static long long resident() {
    long long pages = 0, all = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (f && fscanf(f, "%lld %lld", &all, &pages) != 2) pages = 0;
    if (f) fclose(f);
    return pages * 4096;
}

static vector<vector<Tx>> X, Xt;
static vector<Ty> Y;
static vector<int> order_;

static void rows(FILE *f, vector<vector<Tx>> &into, long long n, long long d) {
    into.assign(n, vector<Tx>(d));
    for (auto &row : into)
        if (fread(row.data(), sizeof(Tx), d, f) != (size_t) d) exit(2);
}

static void ints(FILE *f, vector<int> &into, long long n) {
    into.resize(n);
    if (fread(into.data(), sizeof(int), n, f) != (size_t) n) exit(2);
}

static void score(random_forest &forest, const char *what) {
    double c = cpu(), w = wall();
    vector<double> p(Xt.size()), res;
    for (size_t i = 0; i < Xt.size(); ++i) { forest.qry(Xt[i], res); p[i] = res[1]; }
    printf("%s %.9f %.9f", what, cpu() - c, wall() - w);
    for (double v : p) printf(" %.9g", v);
    printf("\n");
}

// the rows that go left at the root, as text: what a tree of one split is
static string root(random_forest &forest, const vector<int> &kept) {
    auto *u = forest.tr[0]->root;
    if (u->ls == nullptr) return "leaf";
    string s = to_string(u->attr) + ":";
    for (int i : kept) s += X[i][u->attr] <= u->thres ? '1' : '0';
    return s;
}

static void law(int T, int depth, int gone, int n_seeds) {
    vector<int> left(order_.begin(), order_.begin() + gone), kept;
    for (int i = 0; i < (int) X.size(); ++i)
        if (find(left.begin(), left.end(), i) == left.end()) kept.push_back(i);
    vector<vector<Tx>> X2; vector<Ty> Y2;
    for (int i : kept) X2.push_back(X[i]), Y2.push_back(Y[i]);
    for (int s = 0; s < n_seeds; ++s) {
        random_forest a(X, Y, T, T, depth, 2);
        for (int i : left) a.del(i);
        printf("forgotten %s\n", root(a, kept).c_str());
        random_forest b(X2, Y2, T, T, depth, 2);
        printf("scratch %s\n", root(b, kept).c_str());
    }
}

int main(int argc, char **argv) {
    if (argc != 10) return 2;
    FILE *f = fopen(argv[1], "rb");
    long long head[4];
    if (!f || fread(head, sizeof head, 1, f) != 1) return 2;
    rows(f, X, head[0], head[1]);
    rows(f, Xt, head[2], head[1]);
    ints(f, Y, head[0]);
    ints(f, order_, head[3]);
    fclose(f);
    string mode = argv[2];
    dly = atoi(argv[3]);
    int T = atoi(argv[4]), k = atoi(argv[5]), depth = atoi(argv[6]), arg = atoi(argv[9]);
    p_tries = atoi(argv[7]);
    p_count = int(sqrt((double) head[1])) + 1; // as its main() has it
    srand(atoi(argv[8]));
    mt = mt19937(atoi(argv[8]));
    if (mode == "law") { law(T, depth, (int) head[3], arg); return 0; }

    long long before = resident();
    double c = cpu(), w = wall();
    random_forest forest(X, Y, T, k, depth);
    printf("fit %.9f %.9f %lld\n", cpu() - c, wall() - w, resident() - before);
    score(forest, "before");
    if (mode == "singles") {
        printf("single");
        for (int j = 0; j < arg; ++j) { c = cpu(); forest.del(order_[j]); printf(" %.9f", cpu() - c); }
        printf("\n");
    } else if (mode == "batch") {
        vector<int> ids(order_.begin(), order_.begin() + arg);
        c = cpu(), w = wall();
        forest.del(ids);
        printf("batch %.9f %.9f\n", cpu() - c, wall() - w);
    }
    score(forest, "after");
    fflush(stdout);
    _exit(0); // its destructors are not asked for
}
