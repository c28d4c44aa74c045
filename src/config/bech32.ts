const alphabet = 'qpzry9x8gf2tvdw0s3jn54khce6mua7l';
const generator = [0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3];

/** Whether the checksum of a Bech32 text fits (BIP 173; age's recipients are such): a mistyped recipient would open nothing. */
export function isBech32(text: string, prefix: string): boolean {
  const lower = text.toLowerCase();
  if (text !== lower || !lower.startsWith(`${prefix}1`)) return false;
  const data = [...lower.slice(prefix.length + 1)].map((letter) => alphabet.indexOf(letter));
  if (data.length < 6 || data.includes(-1)) return false;
  const codes = [...prefix].map((letter) => letter.charCodeAt(0));
  return checksum([...codes.map((code) => code >> 5), 0, ...codes.map((code) => code & 31), ...data]) === 1;
}

function checksum(values: readonly number[]): number {
  let sum = 1;
  for (const value of values) {
    const top = sum >>> 25;
    sum = ((sum & 0x1ffffff) << 5) ^ value;
    for (const [i, part] of generator.entries()) if ((top >>> i) & 1) sum ^= part;
  }
  return sum >>> 0;
}
