// staking-service: what is its own. watched.mjs keeps the contract for it.
import { answers, route, watched } from "./watched.mjs";

const wallet = answers(process.env.WALLET_SERVICE ?? "http://wallet-service:3000");
const { app, up } = watched(process.env.VERSION ?? "dev", { "wallet-service": wallet });

app.get(route("/api/stakes/:id"), (request, response) => {
  if (up["wallet-service"]) response.json({ id: request.params.id });
  else response.status(503).send("the wallets do not answer");
});
app.listen(Number(process.env.PORT ?? 3005));
