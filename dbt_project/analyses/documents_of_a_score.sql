-- Which documents made this score?
--
--     dbt show --select documents_of_a_score --vars '{score_id: <id>}' --limit 20
--
-- Walks the lineage up from the score to its checkpoint, from there to the draws that trained it, and on to the
-- documents; one row per training document, with how often and with how many tokens it was drawn. The document that was
-- scored is a parent of the score too, but it made the question, not the answer: the walk does not begin there.
-- Without a score_id, the worst held-out score is explained.
with recursive score as (
    select
        score_id,
        plan,
        seed,
        document_id
    from {{ ref('stg_scores') }}
    where {% if var('score_id') %}score_id = '{{ var("score_id") }}'{% else %}split = 'heldout'{% endif %}

    order by bits_per_byte desc, score_id
    limit 1
),

ancestors as (
    select lineage.parent_id as row_id
    from score
    inner join {{ ref('lineage') }} as lineage
        on score.score_id = lineage.child_id and score.document_id <> lineage.parent_id
    union
    select lineage.parent_id as row_id
    from ancestors
    inner join {{ ref('lineage') }} as lineage on ancestors.row_id = lineage.child_id
)

select
    score.score_id,
    score.plan,
    score.seed,
    documents.document_id,
    documents.package,
    documents.module,
    documents.name,
    count(*)::bigint as n_draws,
    sum(draws.n_tokens)::bigint as n_tokens
from ancestors
inner join {{ ref('stg_sampling_plan') }} as draws on ancestors.row_id = draws.draw_id
inner join {{ ref('stg_documents') }} as documents on draws.document_id = documents.document_id
cross join score
group by all
order by n_tokens desc, documents.document_id
