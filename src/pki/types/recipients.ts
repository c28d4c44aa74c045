import type { FieldChange, Resolved } from '../../plan/resource.ts';

interface Sealed {
  readonly recipients?: readonly string[];
}
type Diff<P> = (desired: Resolved<P>, observed: Resolved<P>) => readonly FieldChange[];

/** Recipients are a set; where cluster.yaml names none, those that there are will do. */
export const resealed =
  <P extends Sealed>(diff: Diff<P>): Diff<P> =>
  (desired, observed) =>
    diff(sorted(desired, observed), sorted(observed, observed));

function sorted<R extends { readonly recipients?: unknown }>(props: R, fallback: R): R {
  const recipients = props.recipients ?? fallback.recipients;
  return { ...props, recipients: Array.isArray(recipients) ? recipients.toSorted() : [] };
}
