// Starts `lottoc lsp` when a .lotto file is opened, and stops it with the editor.
const { workspace } = require("vscode");
const { LanguageClient } = require("vscode-languageclient/node");

let client;

exports.activate = () => {
  const command = workspace.getConfiguration("lotto").get("command");
  const files = workspace.createFileSystemWatcher("**/*.{onnx,py,npz}");
  client = new LanguageClient(
    "lotto",
    "lotto",
    { command, args: ["lsp"] },
    { documentSelector: [{ language: "lotto" }], synchronize: { fileEvents: files } },
  );
  return client.start();
};

exports.deactivate = () => client?.stop();
