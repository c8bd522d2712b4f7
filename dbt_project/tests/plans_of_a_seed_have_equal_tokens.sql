with totals as (
    select
        plan,
        seed,
        sum(n_tokens) as n_tokens
    from {{ ref('mixtures') }}
    group by plan, seed
)

select
    seed,
    min(n_tokens) as fewest,
    max(n_tokens) as most
from totals
group by seed
having fewest <> most
