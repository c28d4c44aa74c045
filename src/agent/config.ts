import { z } from 'zod';

/** /etc/slipway/agent.json, which the masters' bundle brings: what the design knows of the pools. */
const request = z.object({
  name: z.string(),
  signer: z.string(),
  subject: z.object({ cn: z.string(), o: z.array(z.string()) }),
  sans: z.object({ dns: z.array(z.string()), ip: z.array(z.string()) }),
  usages: z.array(z.string()),
});
const schema = z.object({
  cluster: z.string(),
  region: z.string(),
  pools: z.record(z.string(), z.object({ requests: z.array(request), drainSeconds: z.number() })),
});
export type AgentConfig = z.infer<typeof schema>;
/** What one of a pool's machines asks for, with `${NODE_NAME}` and `${NODE_IP}` for its own. */
export type ExpectedRequest = z.infer<typeof request>;

export const parseConfig = (text: string): AgentConfig => schema.parse(JSON.parse(text));
