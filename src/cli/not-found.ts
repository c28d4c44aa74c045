import type { Hook } from '@oclif/core';
import { closest, distance } from 'fastest-levenshtein';
import { exitCodes } from '../errors.ts';

/** oclif's hook for a word that is no command: says which one was meant. */
const notFound: Hook<'command_not_found'> = async function (options) {
  const asked = options.id.replaceAll(':', ' ');
  const known = this.config.commandIDs.map((id) => id.replaceAll(':', ' '));
  const nearest = known.length > 0 ? closest(asked, known) : '';
  const next = nearest !== '' && distance(asked, nearest) <= 3 ? `Did you mean \`cluster ${nearest}\`?` : 'See `cluster --help`';
  process.stderr.write(`Usage: there is no command \`cluster ${asked}\`\nNext: ${next}\n`);
  process.exit(exitCodes.usage);
};
export default notFound;
