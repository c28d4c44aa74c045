/** Sizes of common machine types, for checks before anything is asked of a cloud. Source: AWS, "Amazon EC2 instance types". */
export interface MachineSize {
  readonly cpu: number;
  readonly memoryGi: number;
}
/** vCPUs and memory of the smallest and the steps up; families that grow by the same rule share a row. */
const burstable: Readonly<Record<string, MachineSize>> = {
  nano: { cpu: 2, memoryGi: 0.5 },
  micro: { cpu: 2, memoryGi: 1 },
  small: { cpu: 2, memoryGi: 2 },
  medium: { cpu: 2, memoryGi: 4 },
  large: { cpu: 2, memoryGi: 8 },
  xlarge: { cpu: 4, memoryGi: 16 },
  '2xlarge': { cpu: 8, memoryGi: 32 },
};
const burstableFamilies = ['t3', 't3a', 't4g'];
/** Memory a vCPU, of the families whose `large` has 2 vCPUs and that double with each step. */
const memoryPerCpu: Readonly<Record<string, number>> = {
  c5: 2,
  c5a: 2,
  c6i: 2,
  c6a: 2,
  c6g: 2,
  c7i: 2,
  c7a: 2,
  c7g: 2,
  c8g: 2,
  m5: 4,
  m5a: 4,
  m6i: 4,
  m6a: 4,
  m6g: 4,
  m7i: 4,
  m7a: 4,
  m7g: 4,
  m8g: 4,
  r5: 8,
  r5a: 8,
  r6i: 8,
  r6a: 8,
  r6g: 8,
  r7i: 8,
  r7a: 8,
  r7g: 8,
  r8g: 8,
};

export const awsTypeShape = /^[a-z][a-z0-9-]*\.(nano|micro|small|medium|large|xlarge|\d{1,2}xlarge|metal(-\d{1,2}xl)?)$/;
export const gcpTypeShape = /^[a-z]\d[a-z]?-(micro|small|medium|[a-z]+-\d{1,3}(-lssd|-metal)?)$/;

/** The size of a machine type of AWS; undefined where it is not known here, which says nothing. */
export function awsSize(type: string): MachineSize | undefined {
  const [family = '', size = ''] = type.split('.');
  if (burstableFamilies.includes(family)) return burstable[size];
  const memory = memoryPerCpu[family];
  const [, steps] = /^(\d*)xlarge$/.exec(size) ?? [];
  const cpu =
    size === 'large'
      ? 2
      : size === 'medium' && family.endsWith('g')
        ? 1
        : steps === undefined
          ? undefined
          : 4 * Number(steps || 1);
  return memory === undefined || cpu === undefined ? undefined : { cpu, memoryGi: cpu * memory };
}
/** Whether all sizes of this family are known here, so that a missing one is a mistake. */
export const isKnownBurstable = (type: string): boolean => burstableFamilies.includes(type.split('.')[0] ?? '');
