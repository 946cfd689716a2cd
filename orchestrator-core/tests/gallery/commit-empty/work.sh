git commit -q --allow-empty -m work
