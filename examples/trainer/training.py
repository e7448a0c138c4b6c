"""The training loop."""

import torch
from torch.nn import functional


def train(net, x, y, epochs, batch_size=64, lr=3e-3, weight_decay=1e-2, augment=None, log=None):
    """Minimise cross-entropy with AdamW, the learning rate falling to 0 along a cosine.

    x: float32 (N, ...), y: int64 (N,). augment: batch -> batch, or None.
    log: called as log(epoch, loss) after each epoch, or None.
    Random numbers come from torch's global generator. Returns the mean loss of each epoch.
    """
    optimizer = torch.optim.AdamW(net.parameters(), lr=lr, weight_decay=weight_decay)
    batches = max(len(x) // batch_size, 1)  # a rest is left out: BatchNorm dislikes small ones
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * batches)
    losses = []
    net.train()
    for epoch in range(epochs):
        order = torch.randperm(len(x))
        total = 0.0
        for i in range(batches):
            chosen = order[i * batch_size : (i + 1) * batch_size]
            batch = augment(x[chosen]) if augment else x[chosen]
            loss = functional.cross_entropy(net(batch), y[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        losses.append(total / batches)
        if log:
            log(epoch, losses[-1])
    net.eval()
    return losses
