/** What plans of an upgrade may do: each turn plans its own machine. */
export const policy = { command: 'upgrade', allowDataLoss: false } as const;
