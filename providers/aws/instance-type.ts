import type { _InstanceType } from '@aws-sdk/client-ec2';

/** AWS has newer types than the SDK's list: what exists is AWS's to say. */
const isInstanceType = (text: string): text is _InstanceType => text !== '';
export function instanceType(text: string): _InstanceType {
  if (!isInstanceType(text)) throw new Error('a machine without a type');
  return text;
}
