import type { RequestOptions } from 'node:https';
import { parse } from 'yaml';
import { z } from 'zod';

const kubeconfigSchema = z.object({
  clusters: z.tuple([
    z.object({
      cluster: z.object({ server: z.url(), 'tls-server-name': z.string(), 'certificate-authority-data': z.base64() }),
    }),
  ]),
  users: z.tuple([z.object({ user: z.object({ 'client-certificate-data': z.base64(), 'client-key-data': z.base64() }) })]),
});

export type Tls = Pick<RequestOptions, 'ca' | 'cert' | 'key' | 'servername'>;
export interface Api {
  readonly server: string;
  readonly tls: Tls;
}

/** What a kubeconfig of one cluster and one user says, for requests of one's own. */
export function apiOf(kubeconfig: string): Api {
  const { clusters, users } = kubeconfigSchema.parse(parse(kubeconfig));
  const [{ cluster }] = clusters;
  const [{ user }] = users;
  const pem = (data: string): Buffer => Buffer.from(data, 'base64');
  return {
    server: cluster.server,
    tls: {
      ca: pem(cluster['certificate-authority-data']),
      cert: pem(user['client-certificate-data']),
      key: pem(user['client-key-data']),
      servername: cluster['tls-server-name'],
    },
  };
}
