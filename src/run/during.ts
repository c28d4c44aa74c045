import { messageOf } from '../errors.ts';
import type { Emit } from './events.ts';

/** Says when some work begins and how it ends, as steps do: `task` is its title too. */
export async function during<T>(task: string, emit: Emit, work: () => Promise<T>): Promise<T> {
  emit({ type: 'started', task, title: task });
  try {
    const result = await work();
    emit({ type: 'done', task });
    return result;
  } catch (error) {
    emit({ type: 'failed', task, what: messageOf(error), log: [] });
    throw error;
  }
}
