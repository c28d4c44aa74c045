/** One thing found: by config, preflight, health. Facts in, findings out. */
export interface Finding {
  readonly severity: 'error' | 'warning' | 'ok';
  /** A stable word for machines: `config.unknown-key`, `etcd.quorum`. */
  readonly check: string;
  readonly what: string;
  readonly where?: string;
  readonly why?: string;
  readonly next?: string;
}
