// Runs the program on standard input with the official SDK; its result is printed as JSON.
const cloudinary = require('cloudinary').v2;

const AsyncFunction = Object.getPrototypeOf(async () => {}).constructor;
let program = '';
process.stdin.on('data', (text) => { program += text; });
process.stdin.on('end', async () => {
  try {
    const result = await new AsyncFunction('cloudinary', 'require', program)(cloudinary, require);
    // Otherwise it would live on until its kept connections time out.
    process.stdout.write(JSON.stringify(result === undefined ? null : result), () => process.exit());
  } catch (error) {
    process.stderr.write(JSON.stringify(error, Object.getOwnPropertyNames(error || {})));
    process.exitCode = 1;
  }
});
