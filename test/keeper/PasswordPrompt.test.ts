/** Which last lines ask for a secret. The terminal's mode decides in the end; see PtyHostContract for that. */
import { assert, describe, it } from "vitest"
import { passwordPromptIn } from "../../src/keeper/PasswordPrompt.ts"

describe("hostile case 24: passwordPromptIn", () => {
  it.each([
    "Password:",
    "Password: ",
    "text before\r\n[sudo] password for alice: ",
    "alice@host's password: ",
    "Enter passphrase for key '/home/alice/.ssh/id_ed25519': ",
    "Enter passphrase (empty for no passphrase): ",
    "Retype new password:",
    "\x1b[1mPassword\x1b[0m: \x1b[0m",
    "? Password [hidden]: ",
    "Enter PIN: ",
    "Mot de passe : ",
    "Passwort: ",
    "Contraseña: ",
    "Master password? ",
    "パスワード：",
    "[sudo] password for alice: ***",
    "Password: **\b \b\b \b"
  ])("finds %j", (text) => {
    assert.deepStrictEqual(passwordPromptIn(Buffer.from(text)), { punctuated: true })
  })

  it.each(["Password", "$ echo password"])("finds %j, not as a question", (text) => {
    assert.deepStrictEqual(passwordPromptIn(Buffer.from(text)), { punctuated: false })
  })

  it.each([
    "",
    "$ ",
    "Password: \r\n",
    "Password: hunter2",
    "password changed.\r\n$ ",
    "spin: ",
    "the tokenizer: ",
    "Name: ",
    "no-password: x"
  ])("does not find %j", (text) => {
    assert.isNull(passwordPromptIn(Buffer.from(text)))
  })

  it("takes no time for a long line", () => {
    const took = () => {
      const start = performance.now()
      for (const text of ["password ".repeat(28), "(".repeat(256), " ".repeat(256), `${"* ".repeat(127)}x`])
        passwordPromptIn(Buffer.from(text))
      return performance.now() - start
    }
    // The best of a few: the machine may stand still in one of them.
    assert.isBelow(Math.min(took(), took(), took()), 200)
  })
})
