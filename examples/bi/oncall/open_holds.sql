-- Open holds, the oldest first: what keeps an amount from others, who made it, and until when.
select
    owner_id,
    id as reservation_id,
    capability_id,
    amount,
    caller,
    date_trunc('second', now() - created_at) as age,
    date_trunc('second', expires_at - now()) as time_left,
    entity_ids,
    jsonb_array_length(budgets) as budgets
from gov_holds
order by created_at, id
limit 200;
