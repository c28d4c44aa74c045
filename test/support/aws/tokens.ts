import { type Answer, refuse } from './answers.ts';
import { type Behaviour, type Exchange, textOf, withBody } from './exchange.ts';
import { tokenOf } from './model.ts';
import { textsOf } from './xml.ts';

interface Used {
  readonly request: string;
  readonly answer: Answer;
}

/**
 * Idempotency tokens, which moto ignores: the same token and request give the first answer again, also when what it made is gone since;
 * the same token with another request is an error.
 */
export function tokens(): Behaviour {
  const used = new Map<string, Used>();
  const keyOf = ({ call, decoded }: Exchange): string | undefined => {
    const name = tokenOf(decoded.model, call.action);
    const token = name === undefined ? undefined : textOf(call.params, name);
    return token && `${call.account} ${decoded.region} ${call.action} ${token}`;
  };
  return {
    async before(exchange) {
      const first = used.get(keyOf(exchange) ?? '');
      if (!first) return undefined;
      if (first.request !== JSON.stringify(exchange.call.params))
        return refuse(
          'IdempotentParameterMismatch',
          'The request uses the same client token as a previous, but non-identical request.',
        );
      const answer = await asOfNow(exchange, first.answer.body.toString());
      exchange.call.met = /<name>(terminated|shutting-down)<\/name>/.test(answer)
        ? 'token of a terminated instance'
        : 'token again';
      return withBody(first.answer, answer);
    },
    after(exchange, answer) {
      const key = keyOf(exchange);
      if (key !== undefined && answer.status < 300) used.set(key, { request: JSON.stringify(exchange.call.params), answer });
      return answer;
    },
  };
}

/** A repeated answer tells the state that the thing has now: a token stays bound to an instance that was terminated. */
async function asOfNow({ call, ask }: Exchange, first: string): Promise<string> {
  if (call.action !== 'RunInstances') return first;
  let answer = first;
  for (const id of textsOf(first, 'instanceId')) {
    const now = await ask('ec2', 'DescribeInstances', { 'InstanceId.1': id });
    const state = /<instanceState>.*?<\/instanceState>/.exec(now)?.[0];
    const gone = '<instanceState><code>48</code><name>terminated</name></instanceState>';
    answer = answer.replace(
      new RegExp(`(<instanceId>${id}</instanceId>.*?)?<instanceState>.*?</instanceState>`),
      (_whole, head: string | undefined) => `${head ?? ''}${state ?? gone}`,
    );
  }
  return answer;
}
