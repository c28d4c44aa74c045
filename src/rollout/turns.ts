import type { Lane, Turn, Wave } from './rollout.ts';

/** All turns of a lane, in their order: machines that are made first, those that change, those that go. */
export const turnsOfLane = ({ first, turns, last }: Lane): readonly Turn[] => [...first, ...turns, ...last];
/** All turns of a wave, in the order of its lanes. */
export const turnsOfWave = ({ lanes }: Wave): readonly Turn[] => lanes.flatMap(turnsOfLane);
