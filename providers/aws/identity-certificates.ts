/** placeholder */
export const identityCertificates: Readonly<Record<string, readonly string[]>> = {};
