/** One of a label selector's `matchExpressions`, or of a node affinity's. */
export interface Requirement {
  readonly operator: string;
  readonly values: readonly string[];
}

/** As k8s.io/apimachinery: labels. `value`: undefined where there is no such label. An operator that nobody knows holds for nothing. */
export function holds(value: string | undefined, { operator, values }: Requirement): boolean {
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value);
    case 'NotIn':
      return value === undefined || !values.includes(value);
    case 'Exists':
      return value !== undefined;
    case 'DoesNotExist':
      return value === undefined;
    case 'Gt':
      return Number(value) > Number(values[0]);
    case 'Lt':
      return Number(value) < Number(values[0]);
    default:
      return false;
  }
}
