/** Powers of the suffixes of Kubernetes quantities (apimachinery/pkg/api/resource). */
const factors: Readonly<Record<string, number>> = {
  '': 1,
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};

/** `100m` → 0.1, `128Mi` → 134217728, `1e3` → 1000. NaN for what is no quantity. */
export function quantityOf(text: string): number {
  const [, digits, suffix = ''] = /^(\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)([a-zA-Z]*)$/.exec(text) ?? [];
  return digits === undefined ? Number.NaN : Number(digits) * (factors[suffix] ?? Number.NaN);
}
