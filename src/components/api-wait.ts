import type { Part } from './part.ts';
import { trust, trustFile } from './pki.ts';
import { render } from './template.ts';

/** One waiting place for all clients of the API on a host: units start `After=slipway-api.service`. */
export const apiWait: Part = {
  files: [trust('kubernetes')],
  units: [
    {
      name: 'slipway-api.service',
      text: render('units/slipway-api.service', { ca: trustFile('kubernetes') }),
      inputs: [],
      certificates: [],
      serving: false,
    },
  ],
};
